/**
 * One deploy from its beginning to its end: lock every host, run the plan, undo it where it fails, and say what the fleet looks like.
 */

import type { Journal } from '../audit/journal.ts';
import type { Manifest } from '../manifest/schema.ts';
import type { News, Occasion } from '../notify/notify.ts';
import type { Reporter } from '../output/reporter.ts';
import type { Policies } from '../policy/decide.ts';
import { type HostClient, HostFailure } from '../remote/host-client.ts';
import { type ActionDeps, createActions } from './actions.ts';
import { type EngineEvent, type Outcome, runStages, type StepFailure } from './engine.ts';
import { keepHosts, planUndo, type Stage, type UndoOptions } from './plan.ts';
import type { DeployRecord } from './record.ts';

/** How a deploy ended, for programs. */
export const EXIT = {
  done: 0,
  failed: 1,
  undone: 2,
  mixed: 3,
  refused: 4,
  inconclusive: 5,
  usage: 64,
  interrupted: 130,
} as const;

export interface DeployOptions {
  readonly record: DeployRecord;
  readonly manifest: Manifest;
  readonly release: ActionDeps['release'];
  readonly clients: ReadonlyMap<string, HostClient>;
  readonly variables: Readonly<Record<string, string>>;
  readonly policies: Pick<Policies, 'decide'>;
  /** Of this deploy: empty, or what it came to before it was interrupted. */
  readonly journal: Journal;
  readonly reporter: Reporter;
  /** Tells others what becomes of it. */
  readonly tell: (news: News) => void;
  readonly isInterrupted: () => boolean;
}

const RENEW_EVERY_MS = 10_000;

type Ending =
  | 'done'
  | 'failed'
  | 'refused'
  | 'undone'
  | 'aborted'
  | 'held'
  | 'doubtful'
  | 'mixed'
  | 'interrupted';

/** `isOpen`: somebody has to go on with it, or back. */
const ENDINGS: Readonly<
  Record<Ending, { readonly code: number; readonly occasion: Occasion; readonly isOpen: boolean }>
> = {
  done: { code: EXIT.done, occasion: 'done', isOpen: false },
  failed: { code: EXIT.failed, occasion: 'failed', isOpen: false },
  refused: { code: EXIT.refused, occasion: 'failed', isOpen: false },
  undone: { code: EXIT.undone, occasion: 'undone', isOpen: false },
  aborted: { code: EXIT.done, occasion: 'aborted', isOpen: false },
  held: { code: EXIT.mixed, occasion: 'held', isOpen: true },
  doubtful: { code: EXIT.inconclusive, occasion: 'held', isOpen: true },
  mixed: { code: EXIT.mixed, occasion: 'mixed', isOpen: true },
  interrupted: { code: EXIT.interrupted, occasion: 'interrupted', isOpen: true },
};

/** Resolves with an exit code. */
export function runDeploy(options: DeployOptions): Promise<number> {
  return withHosts(options, () => {
    options.journal.append({ type: 'begun', detail: options.record });
    return rollOut(options);
  });
}

/** Goes on where the journal ends, forward or back. */
export function resumeDeploy(given: DeployOptions): Promise<number> {
  const options = withoutOthers(given);
  const { journal } = options;
  const undo = journal.entries().findLast(({ type }) => type === 'undo');
  return withHosts(
    options,
    () => {
      journal.append({ type: 'resumed' });
      return undo === undefined ? rollOut(options) : goBack(options, undo.detail as Undo);
    },
    listLeftOut(given),
  );
}

/** Takes back what an interrupted deploy did. */
export function abortDeploy(given: DeployOptions): Promise<number> {
  const options = withoutOthers(given);
  return withHosts(
    options,
    () => {
      options.journal.append({ type: 'resumed' });
      return beginUndo(options, { isBad: false, isWanted: true });
    },
    listLeftOut(given),
  );
}

function listLeftOut(options: DeployOptions): string[] {
  return listTouched(options)
    .map(({ name }) => name)
    .filter((name) => !options.clients.has(name));
}

/** Hosts that were left out by name since it began stay as they were left. */
function withoutOthers(options: DeployOptions): DeployOptions {
  const { clients, record, reporter } = options;
  const { plan } = record;
  const others = plan.hosts.filter(({ name }) => !clients.has(name));
  for (const { name } of others) reporter.note(`${name} is left out, and stays as it was left`);
  const only = keepHosts(plan, [...clients.keys()]);
  return { ...options, record: { ...record, plan: only } };
}

/** `leftOut`: hosts that this deploy has touched, and that somebody wants to be left as they are. */
async function withHosts(
  options: DeployOptions,
  work: () => Promise<Ending>,
  leftOut: readonly string[] = [],
): Promise<number> {
  const { clients, reporter, journal } = options;
  // Also while others are still waited for.
  const beat = setInterval(() => void renewAll(clients.values()), RENEW_EVERY_MS);
  try {
    const refusal = await lockAll(options);
    if (refusal !== null) {
      reporter.refused(refusal);
      return EXIT.refused;
    }
    try {
      options.tell(newsOf(options, 'begun'));
      const { code, occasion, isOpen } = ENDINGS[await work()];
      if (!isOpen && leftOut.length === 0) journal.append({ type: 'ended', detail: { code } });
      for (const name of leftOut)
        reporter.note(`${name} was left in the middle: say --resume or --abort again once it is back`);
      options.tell(newsOf(options, occasion));
      return code;
    } finally {
      await mirror(options);
      await releaseAll(options);
    }
  } finally {
    clearInterval(beat);
    journal.close();
  }
}

const WELL: readonly Occasion[] = ['begun', 'done', 'aborted'];

function newsOf({ record, journal, clients }: DeployOptions, occasion: Occasion): News {
  const entries = journal.entries();
  // What was mended since is none.
  const since = entries.slice(entries.findLastIndex(({ type }) => type === 'resumed') + 1);
  const failures = WELL.includes(occasion)
    ? []
    : since.flatMap(({ type, step, detail }) =>
        type === 'failed' ? [`${step}: ${(detail as { message: string }).message}`] : [],
      );
  const { environment, deploy, holder: by, plan } = record;
  return { occasion, environment, deploy, release: plan.release, by, hosts: [...clients.keys()], failures };
}

function run(options: DeployOptions, stages: readonly Stage[]): Promise<Outcome> {
  const { record, manifest, journal, reporter, isInterrupted } = options;
  const { parallel } = manifest.deploy;
  const perform = createActions({ ...record, ...options, floor: record.plan.floor });
  const onEvent = (event: EngineEvent): void => {
    if (event.type === 'stage') void mirror(options);
    reporter.event(event);
  };
  return runStages(stages, { parallel, journal, perform, onEvent, isInterrupted });
}

async function rollOut(options: DeployOptions): Promise<Ending> {
  const { record, reporter, journal } = options;
  const outcome = await run(options, record.plan.stages);
  switch (outcome.type) {
    case 'done':
      reporter.recap(record.plan, journal.entries());
      return 'done';
    case 'interrupted':
      reporter.interrupted();
      return 'interrupted';
    case 'failed':
      reporter.failed(outcome.failures);
      return endFailed(options, outcome.failures);
  }
}

async function endFailed(options: DeployOptions, failures: readonly StepFailure[]): Promise<Ending> {
  const { record, reporter, journal } = options;
  if (isCommitted(options)) {
    // It serves everywhere: what could not be tidied up is no reason to take that away.
    reporter.untidy();
    reporter.recap(record.plan, journal.entries());
    return 'done';
  }
  if (failures.every(isHeld)) {
    reporter.held();
    return failures.some(isDoubt) ? 'doubtful' : 'held';
  }
  const isSwitched = listTouched(options).some((host) => host.isSwitched);
  if (!isSwitched) return leaveAll(options, failures);
  // A rollback goes to what was well; and a host that is gone says nothing of the release.
  const isBad = !record.isRollback && failures.some(isOfRelease);
  return beginUndo(options, { isBad, isWanted: false });
}

function isCommitted({ record, journal }: DeployOptions): boolean {
  const { hosts, release } = record.plan;
  const done = new Set(journal.entries().flatMap(({ type, step }) => (type === 'done' ? [step] : [])));
  return hosts.every(({ name }) => done.has(`commit ${name} ${release}`));
}

/** What the journal says of it. */
interface Undo extends Pick<UndoOptions, 'isBad' | 'hosts'> {
  /** Somebody asked for it. */
  readonly isWanted: boolean;
}

/** Where nothing was switched yet: what hosts were made ready with is taken back. */
async function leaveAll(options: DeployOptions, failures: readonly StepFailure[]): Promise<Ending> {
  if (listTouched(options).length > 0) {
    const ending = await beginUndo(options, { isBad: false, isWanted: false });
    if (ending !== 'undone') return ending;
  }
  options.reporter.untouched();
  return failures.some(isRefusal) ? 'refused' : 'failed';
}

/** Every host that was touched, the last one first. */
function beginUndo(options: DeployOptions, how: Omit<Undo, 'hosts'>): Promise<Ending> {
  const undo = { ...how, hosts: listTouched(options) };
  options.journal.append({ type: 'undo', detail: undo });
  return goBack(options, undo);
}

/** Every host that can be brought back is, whatever becomes of another one; but none where the floor would be breached. */
async function goBack(options: DeployOptions, { isBad, isWanted, hosts: all }: Undo): Promise<Ending> {
  const { record, reporter, clients } = options;
  const { release } = record.plan;
  const hosts = all.filter(({ name }) => clients.has(name));
  const failures: StepFailure[] = [];
  for (const stage of planUndo({ release, isBad, names: [...clients.keys()], hosts })) {
    const outcome = await run(options, [stage]);
    if (outcome.type === 'interrupted') {
      reporter.interrupted();
      return 'interrupted';
    }
    if (outcome.type === 'failed') failures.push(...outcome.failures);
    if (failures.some(isHeld)) break;
  }
  if (failures.length === 0) {
    reporter.undone(hosts, !isWanted);
    return isWanted ? 'aborted' : 'undone';
  }
  reporter.failed(failures);
  reporter.mixed();
  return 'mixed';
}

/** What a host says of what it was given to run; not that it cannot be reached, or is in trouble itself. */
const OF_RELEASE = ['unhealthy', 'boot_failed', 'ended_early', 'refused'];

function isOfRelease({ error }: StepFailure): boolean {
  return error instanceof HostFailure && OF_RELEASE.includes(error.code);
}

function isRefusal({ error }: StepFailure): boolean {
  return error instanceof HostFailure && error.code === 'refused';
}

/** To go on, or back, would leave fewer hosts than there have to be, or nobody knows which of both is right. */
function isHeld(failure: StepFailure): boolean {
  return isDoubt(failure) || (failure.error instanceof HostFailure && failure.error.code === 'floor');
}

function isDoubt({ error }: StepFailure): boolean {
  return error instanceof HostFailure && error.code === 'held';
}

/** Hosts on which anything may have been changed that the service sees, the last one first. */
function listTouched({ record, journal }: DeployOptions): Undo['hosts'] {
  const begun = (action: string): Set<string | undefined> =>
    new Set(
      journal
        .entries()
        .filter(({ type, step }) => type === 'intent' && step?.startsWith(`${action} `))
        .map(({ host }) => host),
    );
  const switched = begun('switch');
  const configured = begun('configure');
  const drained = begun('drain');
  return record.plan.hosts
    .filter(({ name }) => switched.has(name) || configured.has(name) || drained.has(name))
    .map(({ name, back }) => ({
      name,
      to: back,
      isSwitched: switched.has(name),
      // What did not answer before was not drained, and need not answer now.
      isDrained: drained.has(name) && record.before[name]?.isAnswering !== false,
    }))
    .reverse();
}

/** Null: every host is ours. Otherwise the sentence of the one that is not, and none is. */
async function lockAll({ clients, record }: DeployOptions): Promise<string | null> {
  const { deploy, holder, plan } = record;
  const asked = { deploy, holder, doing: `roll to ${plan.release}` };
  for (const client of clients.values()) {
    try {
      const { epoch } = await client.call<{ epoch: number }>('acquire', asked);
      client.claim({ deploy, epoch });
    } catch (error) {
      await Promise.all([...clients.values()].map((one) => one.call('release').catch(() => undefined)));
      return `${client.name}: ${(error as Error).message}`;
    }
  }
  return null;
}

async function renewAll(clients: Iterable<HostClient>): Promise<void> {
  // One that changes something renews by itself, and one that was too busy to answer is ours as long as nobody else came; what lost its
  // lease says so with its next step.
  await Promise.all([...clients].map((client) => client.call('renew').catch(() => undefined)));
}

/** Each host has what was meant and done so far, should this machine be lost. */
async function mirror({ clients, journal, record: { deploy } }: DeployOptions): Promise<void> {
  const text = journal
    .entries()
    .map((entry) => `${JSON.stringify(entry)}\n`)
    .join('');
  await Promise.all(
    // One that cannot be reached gets it with the next stage; the journal itself is here.
    [...clients.values()].map((client) => client.call('journal', { deploy, text }).catch(() => undefined)),
  );
}

async function releaseAll({ clients }: DeployOptions): Promise<void> {
  // Where that fails it ends by itself within a minute.
  await Promise.all([...clients.values()].map((client) => client.call('release').catch(() => undefined)));
}
