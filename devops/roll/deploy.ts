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
import { planUndo, type Stage, type UndoOptions } from './plan.ts';
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

/** Resolves with an exit code. */
export function runDeploy(options: DeployOptions): Promise<number> {
  return withHosts(options, () => {
    options.journal.append({ type: 'begun', detail: options.record });
    return rollOut(options);
  });
}

/** Goes on where the journal ends, forward or back. */
export function resumeDeploy(options: DeployOptions): Promise<number> {
  const { journal } = options;
  const undo = journal.entries().find(({ type }) => type === 'undo');
  return withHosts(options, () => {
    journal.append({ type: 'resumed' });
    return undo === undefined ? rollOut(options) : goBack(options, undo.detail as Undo);
  });
}

/** Takes back what an interrupted deploy did. */
export function abortDeploy(options: DeployOptions): Promise<number> {
  return withHosts(options, async () => {
    options.journal.append({ type: 'resumed' });
    const code = await beginUndo(options, { isBad: false });
    return code === EXIT.undone ? EXIT.done : code;
  });
}

async function withHosts(options: DeployOptions, work: () => Promise<number>): Promise<number> {
  const { clients, reporter, journal } = options;
  const refusal = await lockAll(options);
  if (refusal !== null) {
    reporter.refused(refusal);
    return EXIT.refused;
  }
  const beat = setInterval(() => void renewAll(clients.values()), RENEW_EVERY_MS);
  try {
    options.tell(newsOf(options, 'begun'));
    const code = await work();
    if (!isOpen(code)) journal.append({ type: 'ended', detail: { code } });
    options.tell(newsOf(options, OCCASIONS[code] ?? 'failed'));
    return code;
  } finally {
    clearInterval(beat);
    await mirror(options);
    await releaseAll(options);
  }
}

/** Somebody has to go on with it, or back. */
function isOpen(code: number): boolean {
  return code === EXIT.interrupted || code === EXIT.inconclusive || code === EXIT.mixed;
}

const OCCASIONS: Readonly<Record<number, Occasion>> = {
  [EXIT.done]: 'done',
  [EXIT.undone]: 'undone',
  [EXIT.mixed]: 'mixed',
  [EXIT.inconclusive]: 'mixed',
  [EXIT.interrupted]: 'interrupted',
};

function newsOf({ record, journal, clients }: DeployOptions, occasion: Occasion): News {
  const failures = journal
    .entries()
    .flatMap(({ type, step, detail }) =>
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

async function rollOut(options: DeployOptions): Promise<number> {
  const { record, reporter, journal } = options;
  const outcome = await run(options, record.plan.stages);
  switch (outcome.type) {
    case 'done':
      reporter.recap(record.plan, journal.entries());
      return EXIT.done;
    case 'interrupted':
      reporter.interrupted();
      return EXIT.interrupted;
    case 'failed':
      reporter.failed(outcome.failures);
      if (outcome.failures.every(isHeld)) {
        reporter.held();
        return outcome.failures.some(isDoubt) ? EXIT.inconclusive : EXIT.mixed;
      }
      if (listTouched(options).some(({ isSwitched }) => isSwitched))
        return beginUndo(options, { isBad: true });
      return leaveAll(options, outcome.failures);
  }
}

/** What the journal says of it. */
type Undo = Pick<UndoOptions, 'isBad' | 'hosts'>;

/** Where nothing was switched yet: what hosts were made ready with is taken back. */
async function leaveAll(options: DeployOptions, failures: readonly StepFailure[]): Promise<number> {
  if (listTouched(options).length > 0) {
    const code = await beginUndo(options, { isBad: false });
    if (code !== EXIT.undone) return code;
  }
  options.reporter.untouched();
  return failures.some(isRefusal) ? EXIT.refused : EXIT.failed;
}

/** Every host that was touched, the last one first. */
function beginUndo(options: DeployOptions, { isBad }: Pick<Undo, 'isBad'>): Promise<number> {
  const undo = { isBad, hosts: listTouched(options) };
  options.journal.append({ type: 'undo', detail: undo });
  return goBack(options, undo);
}

/** Every host that can be brought back is, whatever becomes of another one; but none where the floor would be breached. */
async function goBack(options: DeployOptions, { isBad, hosts }: Undo): Promise<number> {
  const { record, reporter, clients } = options;
  const { release } = record.plan;
  const failures: StepFailure[] = [];
  for (const stage of planUndo({ release, isBad, names: [...clients.keys()], hosts })) {
    const outcome = await run(options, [stage]);
    if (outcome.type === 'interrupted') {
      reporter.interrupted();
      return EXIT.interrupted;
    }
    if (outcome.type === 'failed') failures.push(...outcome.failures);
    if (failures.some(isHeld)) break;
  }
  if (failures.length === 0) {
    reporter.undone(hosts, isBad);
    return EXIT.undone;
  }
  reporter.failed(failures);
  reporter.mixed();
  return EXIT.mixed;
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
      isDrained: drained.has(name),
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
  // One that is at work renews by itself; one that lost its lease says so with its next step.
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
