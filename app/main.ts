/**
 * The program: config → context → listen → signals. The only file that touches `process`. With `--migrate` it brings the databases to
 * the schema that this release needs, and ends: a step of a deploy.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseConfig } from './config.ts';
import { type Context, createContext } from './context.ts';
import { renderGreeting } from './greeting.ts';
import { createFigures } from './health/figures.ts';
import { showInPm2 } from './health/pm2-monitor.ts';
import { renderCurl } from './http/routes/home.ts';
import { systemClock } from './kernel/clock.ts';
import { AppError, StartError } from './kernel/errors.ts';
import { createLifetime } from './kernel/lifetime.ts';
import { openLog } from './log.ts';

/** PM2's kill_timeout is 35 s: what is in flight has 30 s, the rest is for the database. */
const IN_FLIGHT_MAX_MS = 30_000;

const isTerminal = process.stdout.isTTY === true;
const log = await openLog({ clock: systemClock, stdout: process.stdout, pid: process.pid });
let logger = log.createLogger({ level: 'info', release: null });

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (err: unknown) => {
    logger.fatal({ err }, 'an error that nobody expected ends the process');
    exit(1);
  });
}
main().catch(failStart);

async function main(): Promise<void> {
  const config = parseConfig(process.env);
  logger = log.createLogger({ level: config.LOG_LEVEL, release: config.RELEASE_ID });
  const isMigration = process.argv.includes('--migrate');
  const context = await createContext(config, {
    logger,
    lines: log.lines,
    pid: process.pid,
    // Nobody asks before it listens, and by then there is one.
    isDraining: () => lifetime.isDraining(),
    isMigration,
  });
  if (isMigration) {
    await context.close();
    return exit(0);
  }
  const { publicListener, managementListener } = context;
  const lifetime = createLifetime({
    clock: systemClock,
    drainMs: config.DRAIN_MS,
    stop: async () => {
      await Promise.all([managementListener.stop(IN_FLIGHT_MAX_MS), publicListener.stop(IN_FLIGHT_MAX_MS)]);
      await context.close();
      // Between two scrapes of /metrics nobody would learn of the last ones.
      logger.info({ clicks: context.readClicks() }, 'stopped');
    },
    exit,
    onPhase: (phase) => logger.info(phase),
    onStopFailed: (err) => logger.fatal({ err }, 'the stop failed'),
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => lifetime.onSignal(signal));

  await managementListener.listen(config.MANAGEMENT_PORT, config.MANAGEMENT_HOST);
  await publicListener.listen(config.PORT, config.HOST);
  logger.info({ port: publicListener.port(), management_port: managementListener.port() }, 'listening');
  const newAdminKey = await ensureAdminKey(context, config.DATA_DIR);
  if (isTerminal) {
    const greeting = renderGreeting({
      baseUrl: config.BASE_URL,
      dataDir: config.DATA_DIR,
      managementUrl: `http://${config.MANAGEMENT_HOST}:${managementListener.port()}`,
      newAdminKey,
      curl: renderCurl(config.BASE_URL, config.ANONYMOUS_SHORTEN ? null : (newAdminKey ?? '$API_KEY')),
    });
    process.stdout.write(greeting);
  }
  const readFigures = createFigures({
    clock: systemClock,
    redirectDuration: context.metrics.redirectDuration,
    readReadiness: context.readReadiness,
  });
  process.send?.('ready');
  if (process.env.pm_id !== undefined) {
    // A service without figures is better than none.
    showInPm2({ readFigures, clock: systemClock, isOver: lifetime.isStopping }).catch((err: unknown) =>
      logger.warn({ err }, 'PM2 shows no figures'),
    );
  }
}

/** Resolves with the secret of a key that was made: on a terminal the greeting shows it, elsewhere a file keeps it. */
async function ensureAdminKey(context: Context, dataDir: string): Promise<string | null> {
  const path = resolve(join(dataDir, 'admin-api-key'));
  let made: string | null = null;
  let isGreeted = false;
  await context.ensureAdminKey((secret) => {
    if (isTerminal && !isGreeted) {
      made = secret;
      return;
    }
    writeKeyFile(path, secret);
    logger.warn({ path }, 'an admin API key was made: read it there and delete the file');
  });
  // From here on it is made once a shared database answers.
  isGreeted = true;
  return made;
}

function writeKeyFile(path: string, secret: string): void {
  try {
    // A file that is there already would keep its own mode, and a link would lead elsewhere.
    rmSync(path, { force: true });
    // Flushed, because the row that is committed next survives a power cut.
    writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    const message =
      `${path} cannot be written, and the admin API key would be lost. Remove what is in its place, or set ADMIN_API_KEY ` +
      `to a secret of your own. (${(error as Error).message})`;
    throw new StartError(message, { cause: error });
  }
}

/** What an operator can help has a sentence; anything else is a defect, and its stack helps us. */
function failStart(error: unknown): void {
  // LOG_LEVEL=silent asks for a quiet service, not for one that is gone without a word.
  logger.level = 'fatal';
  if (error instanceof StartError || error instanceof AppError) logger.fatal(error.message);
  else logger.fatal({ err: error }, 'the start failed');
  exit(1);
}

/** The only way out: no line of the log is lost. */
function exit(code: number): void {
  void log.close().then(() => process.exit(code));
}
