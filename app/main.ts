/**
 * The program: config → context → listen → signals. The only file that touches `process`.
 */

import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Logger, pino } from 'pino';
import { type Config, parseConfig } from './config.ts';
import { createContext } from './context.ts';
import { renderGreeting } from './greeting.ts';
import { renderCurl } from './http/routes/home.ts';
import { systemClock } from './kernel/clock.ts';
import { StartError } from './kernel/errors.ts';
import { createLifetime, type Lifetime } from './kernel/lifetime.ts';

/** PM2's kill_timeout is 35 s: what is in flight has 30 s, the rest is for the database. */
const IN_FLIGHT_MAX_MS = 30_000;

const isTerminal = process.stdout.isTTY === true;

async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const { logger, flush } = await openLog(config);
  let lifetime: Lifetime | null = null;
  const context = await createContext(config, {
    logger,
    pid: process.pid,
    isDraining: () => lifetime?.isDraining() ?? false,
  });
  const { publicListener, managementListener, store } = context;
  lifetime = createLifetime({
    clock: systemClock,
    drainMs: config.DRAIN_MS,
    stop: async () => {
      await Promise.all([managementListener.stop(IN_FLIGHT_MAX_MS), publicListener.stop(IN_FLIGHT_MAX_MS)]);
      await store.close();
      logger.info('stopped');
      await flush();
    },
    exit: (code) => process.exit(code),
    onPhase: (phase) => logger.info(phase),
    onStopFailed: (err) => logger.fatal({ err }, 'the stop failed'),
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => lifetime.onSignal(signal));

  await managementListener.listen(config.MANAGEMENT_PORT, config.MANAGEMENT_HOST);
  await publicListener.listen(config.PORT, config.HOST);
  logger.info({ port: publicListener.port(), management_port: managementListener.port() }, 'listening');
  let newAdminKey: string | null = null;
  await context.ensureAdminKey((secret) => {
    if (isTerminal) newAdminKey = secret;
    else keepAdminKey(config, logger, secret);
  });
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
  process.send?.('ready');
}

interface Log {
  readonly logger: Logger;
  /** Resolves once every line is written. */
  flush(): Promise<void>;
}

/** On a terminal lines are for people, elsewhere for machines. */
async function openLog(config: Config): Promise<Log> {
  const options = {
    level: config.LOG_LEVEL,
    base: { pid: process.pid, release: config.RELEASE_ID },
    formatters: { level: (label: string) => ({ level: label }) },
    redact: REDACTED,
  };
  if (isTerminal) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ ignore: 'pid,release,trace_id,request_id', sync: true, singleLine: true });
    return { logger: pino(options, stream), flush: () => Promise.resolve() };
  }
  const destination = pino.destination({ dest: 1, sync: false });
  const flush = () =>
    new Promise<void>((done) => {
      destination.once('close', done);
      destination.end();
    });
  return { logger: pino(options, destination), flush };
}

/** Nothing of ours logs these; should it ever happen, they do not leave the process. */
const REDACTED = ['authorization', 'secret', '*.authorization', '*.secret', '*.headers', '*["x-api-key"]'];

function keepAdminKey(config: Config, logger: Logger, secret: string): void {
  const path = resolve(join(config.DATA_DIR, 'admin-api-key'));
  writeFileSync(path, `${secret}\n`, { mode: 0o600 });
  logger.info({ path }, 'an admin API key was made: read it there and delete the file');
}

function failStart(error: unknown): void {
  const isExpected = error instanceof StartError;
  if (isTerminal) process.stderr.write(isExpected ? `fleetlink: ${error.message}\n` : `${String(error)}\n`);
  else
    pino(pino.destination({ dest: 1, sync: true })).fatal(
      isExpected ? {} : { err: error },
      isExpected ? error.message : 'the start failed',
    );
  process.exit(1);
}

main().catch(failStart);
