// `npm run deploy -- --env staging`: builds a release of what is committed, and rolls the hosts of an environment to it. `--check` shows
// what would be done and touches nothing.
import { randomBytes } from 'node:crypto';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openJournal } from '../devops/audit/journal.ts';
import { connect } from '../devops/inventory/connect.ts';
import { ManifestError, readManifest } from '../devops/manifest/read-manifest.ts';
import { fetchSecrets } from '../devops/manifest/secrets.ts';
import { createTextReporter, type Reporter } from '../devops/output/reporter.ts';
import { buildRelease, findRelease, type Release } from '../devops/release/build-release.ts';
import { BuildError } from '../devops/release/npm.ts';
import { buildTool } from '../devops/release/tool.ts';
import { EXIT, runDeploy } from '../devops/roll/deploy.ts';
import { findRollbackTarget, RollbackError } from '../devops/roll/find-rollback-target.ts';
import { planFor, survey, UnreachableError } from '../devops/roll/survey.ts';
import { TransportError } from '../devops/transport/transport.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fleetlink');
const STATE = join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'fleetlink');
const TARGET = { platform: process.platform, arch: process.arch };
const USAGE = `npm run deploy -- --env NAME [--check] [--release ID] [--except HOST] [--allow-dirty]
npm run rollback -- --env NAME [--check] [--to ID] [--except HOST]`;

process.exitCode = await main().catch((error: unknown) => {
  if (error instanceof ManifestError) return end(EXIT.usage, error.message);
  if (error instanceof RollbackError || error instanceof UnreachableError)
    return end(EXIT.refused, error.message);
  if (error instanceof BuildError || error instanceof TransportError) return end(EXIT.failed, error.message);
  throw error;
});

async function main(): Promise<number> {
  const options = readArguments();
  if (options === null) return EXIT.usage;
  const { env: environment } = options;
  const manifest = readManifest(join(ROOT, 'devops/environments'), environment);
  const secrets = await fetchSecrets(manifest.secrets, process.env);
  const reporter = createTextReporter({
    write: (text) => void process.stdout.write(text),
    nowMs: Date.now,
    environment,
  });
  const tool = await buildTool(CACHE, join(ROOT, 'devops/host'));
  const built = options.rollback ? null : await build(options, reporter);
  const { root, clients, close } = connect({
    manifest,
    except: options.except,
    tool,
    variables: process.env,
  });
  try {
    const factsBefore = await survey(clients, {
      base: options.check ? null : (built?.base ?? null),
      onNote: reporter.note,
    });
    const release = built ?? { ...TARGET, id: options.to ?? findRollbackTarget([...factsBefore.values()]) };
    const plan = planFor({
      manifest,
      release: release.id,
      names: clients.keys(),
      facts: factsBefore,
      isRollback: options.rollback,
    });
    reporter.plan(plan);
    if (options.check) {
      reporter.stages(plan);
      return EXIT.done;
    }
    const deploy = `${new Date().toISOString().replace(/[-:]/g, '').slice(0, 15)}-${randomBytes(3).toString('hex')}`;
    return await runDeploy({
      deploy,
      holder: `${userInfo().username}@${hostname()}`,
      nonce: randomBytes(8).toString('hex'),
      manifest,
      release,
      plan,
      clients,
      factsBefore,
      variables: { ...manifest.service, ...secrets, DATA_DIR: join(root, 'shared/data') },
      journal: openJournal(join(STATE, environment, 'journal', `${deploy}.jsonl`), { nowMs: Date.now }),
      reporter,
      isInterrupted: listenForInterrupts(reporter),
    });
  } finally {
    await close();
  }
}

function build(
  { release, 'allow-dirty': allowDirty }: Options,
  reporter: Reporter,
): Promise<Release> | Release {
  if (release !== undefined) return findRelease(CACHE, release);
  return buildRelease({
    ...TARGET,
    repository: ROOT,
    cache: CACHE,
    allowDirty,
    variables: process.env,
    node: process.execPath,
    onStep: (step) => reporter.note(`build  ${step}`),
  });
}

/** The first Ctrl-C ends the deploy between two steps, the second one at once. */
function listenForInterrupts(reporter: Reporter): () => boolean {
  let interrupts = 0;
  process.on('SIGINT', () => {
    interrupts++;
    if (interrupts > 1) process.exit(EXIT.interrupted);
    reporter.note(
      'the steps that are under way are ended, and then none is begun; Ctrl-C again ends at once',
    );
  });
  return () => interrupts > 0;
}

type Options = NonNullable<ReturnType<typeof readArguments>>;

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        env: { type: 'string' },
        check: { type: 'boolean', default: false },
        release: { type: 'string' },
        rollback: { type: 'boolean', default: false },
        to: { type: 'string' },
        except: { type: 'string', multiple: true, default: [] },
        'allow-dirty': { type: 'boolean', default: false },
      },
    });
    const { env } = values;
    if (env === undefined) throw new Error('--env is missing: which environment?');
    return { ...values, env };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return null;
  }
}

function end(code: number, message: string): number {
  console.error(message);
  return code;
}
