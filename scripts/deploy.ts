// `npm run deploy -- --env staging`: builds a release of what is committed, and rolls the hosts of an environment to it. `--check` shows
// what would be done and touches nothing.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openJournal } from '../devops/audit/journal.ts';
import { managementPortOf, publicPortOf } from '../devops/host/environment.ts';
import type { HostFacts } from '../devops/host/inspect.ts';
import { isTaken } from '../devops/host/ports.ts';
import { connect } from '../devops/inventory/connect.ts';
import { readManifest, requireUsable } from '../devops/manifest/read-manifest.ts';
import { proxiesOf } from '../devops/manifest/schema.ts';
import { fetchReceivers, fetchSecrets } from '../devops/manifest/secrets.ts';
import { createNotifier, postJson } from '../devops/notify/notify.ts';
import { createJsonReporter } from '../devops/output/json-reporter.ts';
import { createTextReporter, type Reporter } from '../devops/output/reporter.ts';
import { loadPolicies } from '../devops/policy/decide.ts';
import { factsToBegin } from '../devops/policy/facts.ts';
import type { Archive } from '../devops/release/archive.ts';
import {
  buildRelease,
  findBuilt,
  findRelease,
  identify,
  type Release,
  type ReleaseIdentity,
} from '../devops/release/build-release.ts';
import { buildTool } from '../devops/release/tool.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { diffVariables, type HostCheck } from '../devops/roll/check.ts';
import { abortDeploy, type DeployOptions, EXIT, resumeDeploy, runDeploy } from '../devops/roll/deploy.ts';
import { findRollbackTarget } from '../devops/roll/find-rollback-target.ts';
import { isFollowed } from '../devops/roll/follow.ts';
import { findInterrupted, noteBefore } from '../devops/roll/record.ts';
import { planFor, survey } from '../devops/roll/survey.ts';
import { readArguments } from './arguments.ts';
import { CACHE, ENVIRONMENTS, EXAMPLE, HOST_PROGRAM, journalsOf, POLICIES, ROOT } from './deploy-places.ts';
import { explained, findUnlessDamaged, PERSON, ranIn } from './environment.ts';

const TARGET = { platform: process.platform, arch: process.arch };
const LIVE_EVERY_MS = 200;
const TICK_EVERY_MS = 1000;
const USAGE = `npm run deploy -- --env NAME [--check] [--release ID] [--except HOST] [--allow-dirty] [--no-rollback] [--json]
npm run deploy -- --env NAME --resume | --abort
npm run deploy -- --print-schema
npm run rollback -- --env NAME [--check] [--to ID] [--except HOST]`;

const OPTIONS = {
  env: { type: 'string' },
  check: { type: 'boolean', default: false },
  'print-schema': { type: 'boolean', default: false },
  release: { type: 'string' },
  resume: { type: 'boolean', default: false },
  abort: { type: 'boolean', default: false },
  rollback: { type: 'boolean', default: false },
  to: { type: 'string' },
  except: { type: 'string', multiple: true, default: [] as string[] },
  'no-rollback': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  'allow-dirty': { type: 'boolean', default: false },
} as const;

type Options = ReturnType<typeof readArguments<typeof OPTIONS>>['values'] & { readonly env: string };

process.exitCode = await explained(main);

async function main(): Promise<number> {
  const { values, environment: named } = readArguments(USAGE, OPTIONS);
  if (values['print-schema']) {
    process.stdout.write(readFileSync(EXAMPLE, 'utf8'));
    return EXIT.done;
  }
  const options: Options = { ...values, env: named() };
  // Whoever looked on may go; the deploy goes on.
  process.stdout.on('error', () => undefined);
  const { env: environment, except } = options;
  const manifest = readManifest(ENVIRONMENTS, environment);
  const secrets = await fetchSecrets(manifest.secrets, process.env);
  const variables = { ...proxiesOf(manifest), ...manifest.service, ...secrets };
  requireUsable(variables, manifest);
  const write = (text: string): void => void process.stdout.write(text);
  const isLive = process.stdout.isTTY === true;
  const reporter = options.json
    ? createJsonReporter({ write, nowMs: Date.now })
    : createTextReporter({
        write,
        nowMs: Date.now,
        environment,
        isLive,
        isColored: isLive && !process.env.NO_COLOR,
      });
  setInterval(() => reporter.tick(), isLive ? LIVE_EVERY_MS : TICK_EVERY_MS).unref();
  const receivers = await fetchReceivers(manifest.notify, process.env);
  const tool = await buildTool(CACHE, HOST_PROGRAM);
  const { root, clients, close } = connect({ manifest, except, tool, variables: process.env });
  const notifier = createNotifier({
    receivers,
    post: postJson,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    onFailed: (sentence) => reporter.note(sentence),
  });
  try {
    for (const client of clients.values()) client.connect();
    const given: Given = {
      options,
      tool,
      tell: notifier.tell,
      journals: journalsOf(environment),
      policies: await loadPolicies(POLICIES),
      manifest,
      clients,
      variables: { ...variables, DATA_DIR: join(root, 'shared/data') },
      reporter,
      isInterrupted: listenForInterrupts(reporter, environment),
    };
    return await (options.resume || options.abort ? goOn(given) : begin(given));
  } finally {
    await close();
    await notifier.settled();
  }
}

interface Given extends Omit<DeployOptions, 'record' | 'release' | 'journal'> {
  readonly options: Options;
  readonly tool: Archive;
  /** The folder of the journals of this environment. */
  readonly journals: string;
}

async function begin({ options, tool, journals, ...given }: Given): Promise<number> {
  const { manifest, clients, reporter } = given;
  const interrupted = findUnlessDamaged(journals, reporter.note);
  if (interrupted !== null) {
    const then = options.check
      ? '--resume or --abort goes on with it'
      : 'once this one begins, it takes its place';
    reporter.note(`deploy ${interrupted.record.deploy} was interrupted; ${then}`);
  }
  if (!options.rollback) await noteTakenPorts(given);
  const built = options.rollback ? null : await buildUnlessInterrupted(options, given);
  if (built === 'interrupted')
    return end(EXIT.interrupted, 'Interrupted while it was built; nothing was changed.');
  const facts = await survey(clients, {
    base: options.check ? null : (built?.base ?? null),
    onNote: reporter.note,
  });
  const release = built ?? findReleaseBefore(facts, options.to ?? null);
  const { id, platform, arch, isDirty } = release;
  const plan = planFor({
    manifest,
    release: id,
    names: clients.keys(),
    facts,
    isRollback: options.rollback,
  });
  reporter.plan(plan);
  if (plan.hosts.every(({ from }) => from === id))
    reporter.note(`${id} runs there already: it is started anew, with the variables as they are now`);
  const ranInStaging = await ranIn(manifest.deploy.staged_in, { release: id, tool });
  if (options.check) {
    const checks = await Promise.all(
      [...facts].map(([name, host]) => check(name, { host, release, ranInStaging, options, given })),
    );
    reporter.checked(plan, checks);
    return checks.every(({ decision }) => decision.isAllowed) ? EXIT.done : EXIT.refused;
  }
  const deploy = `${new Date().toISOString().replace(/[-:]/g, '').slice(0, 15)}-${randomBytes(3).toString('hex')}`;
  return runDeploy({
    ...given,
    record: {
      deploy,
      holder: PERSON,
      nonce: randomBytes(8).toString('hex'),
      environment: options.env,
      release: { id, platform, arch, isDirty, ...(built !== null && { needs: built.needs }) },
      isRollback: options.rollback,
      ranInStaging,
      isRollbackWaived: options['no-rollback'],
      plan,
      wasFollowed: await isFollowed(given.variables),
      before: noteBefore(facts),
    },
    release,
    journal: openJournal(join(journals, `${deploy}.jsonl`), { nowMs: Date.now }),
  });
}

/** Of a first deploy to this machine, before the minutes that it takes to build: a policy will refuse it then. */
async function noteTakenPorts({
  manifest,
  clients,
  reporter,
}: Pick<Given, 'manifest' | 'clients' | 'reporter'>): Promise<void> {
  const local = clients.get('local');
  if (manifest.provider !== 'local' || local === undefined || (await local.hasBase())) return;
  for (const port of [publicPortOf(manifest.service), managementPortOf(manifest.service)])
    if (await isTaken(port))
      reporter.note(`another program listens on ${port} (npm start?): it has to end before this is built`);
}

/** It was built for the hosts that have it, and not for this machine. */
function findReleaseBefore(facts: ReadonlyMap<string, HostFacts>, wanted: string | null): ReleaseIdentity {
  const target = findRollbackTarget(facts, wanted);
  const [host] = facts.values();
  return identify(target, host ?? TARGET);
}

/** Asks one host, and the policies about it. */
async function check(
  name: string,
  {
    host,
    release,
    ranInStaging,
    options,
    given,
  }: {
    readonly host: HostFacts;
    readonly release: ReleaseIdentity;
    readonly ranInStaging: boolean;
    readonly options: Options;
    readonly given: Pick<Given, 'clients' | 'manifest' | 'variables' | 'policies'>;
  },
): Promise<HostCheck> {
  const { clients, manifest, variables, policies } = given;
  const client = clients.get(name) as HostClient;
  const facts = factsToBegin({
    environment: options.env,
    manifest,
    release,
    isRollback: options.rollback,
    ranInStaging,
    hosts: clients.size,
    variables,
    host,
    takenPorts: await client.call<number[]>('ports', { variables }),
    nowMs: Date.now(),
  });
  return {
    host: name,
    decision: policies.decide({
      gate: 'begin',
      person: PERSON,
      host: name,
      facts,
    }),
    changes: diffVariables({
      now: await client.call<Record<string, string>>('environment'),
      next: variables,
      secrets: new Set(Object.keys(manifest.secrets)),
    }),
  };
}

/** With a deploy that was interrupted, forward or back. */
async function goOn({ options, tool: _, journals, ...given }: Given): Promise<number> {
  const interrupted = findInterrupted(journals);
  if (interrupted === null) {
    return end(
      EXIT.usage,
      `No deploy of ${options.env} was interrupted here: there is nothing to go on with.`,
    );
  }
  const { record, path } = interrupted;
  await survey(given.clients, { base: null, onNote: given.reporter.note });
  const go = options.abort ? abortDeploy : resumeDeploy;
  return go({
    ...given,
    record,
    // Where it was built on another machine, only what hosts have already can be gone on with.
    release: { ...findBuilt(CACHE, record.release.id), ...record.release },
    journal: openJournal(path, { nowMs: Date.now }),
  });
}

/** What builds gets the Ctrl-C too, and fails of it. */
async function buildUnlessInterrupted(
  options: Options,
  { reporter, isInterrupted }: Pick<Given, 'reporter' | 'isInterrupted'>,
): Promise<Release | 'interrupted'> {
  try {
    const built = await build(options, reporter);
    reporter.preparing(null);
    return isInterrupted() ? 'interrupted' : built;
  } catch (error) {
    if (isInterrupted()) return 'interrupted';
    throw error;
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
    onStep: (step) => reporter.preparing(`build  ${step}`),
  });
}

/** The first Ctrl-C ends the deploy between two steps, the second one at once. */
function listenForInterrupts(reporter: Reporter, environment: string): () => boolean {
  let interrupts = 0;
  process.on('SIGINT', () => {
    interrupts++;
    if (interrupts > 1) {
      console.error(
        `\nEnded in the middle. See: npm run status -- --env ${environment}; go on: npm run deploy -- --env ${environment} --resume, or back: --abort`,
      );
      process.exit(EXIT.interrupted);
    }
    reporter.note(
      'the steps that are under way are finished, and then none is begun; Ctrl-C again ends at once',
    );
  });
  return () => interrupts > 0;
}

function end(code: number, message: string): number {
  console.error(message);
  return code;
}
