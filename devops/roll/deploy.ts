/**
 * One deploy from its beginning to its end: lock every host, run the plan, undo it where it fails, and say what the fleet looks like.
 */

import type { Journal } from '../audit/journal.ts';
import type { HostFacts } from '../host/inspect.ts';
import type { Manifest } from '../manifest/schema.ts';
import type { Reporter } from '../output/reporter.ts';
import { type HostClient, HostFailure } from '../remote/host-client.ts';
import { type ActionDeps, createActions } from './actions.ts';
import { type Outcome, runStages, type StepFailure } from './engine.ts';
import { type Plan, planUndo } from './plan.ts';

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
  readonly deploy: string;
  readonly holder: string;
  readonly nonce: string;
  readonly manifest: Manifest;
  readonly release: ActionDeps['release'];
  readonly plan: Plan;
  readonly clients: ReadonlyMap<string, HostClient>;
  readonly factsBefore: ReadonlyMap<string, HostFacts>;
  readonly variables: Readonly<Record<string, string>>;
  readonly journal: Journal;
  readonly reporter: Reporter;
  readonly isInterrupted: () => boolean;
}

const RENEW_EVERY_MS = 10_000;

/** Resolves with an exit code. */
export async function runDeploy(options: DeployOptions): Promise<number> {
  const { clients, reporter, journal } = options;
  const refusal = await lockAll(options);
  if (refusal !== null) {
    reporter.refused(refusal);
    return EXIT.refused;
  }
  const beat = setInterval(() => void renewAll(clients.values()), RENEW_EVERY_MS);
  try {
    journal.append({
      type: 'begun',
      detail: { deploy: options.deploy, by: options.holder, release: options.release.id },
    });
    journal.append({ type: 'plan', detail: options.plan });
    const code = await rollOut(options);
    journal.append({ type: 'ended', detail: { code } });
    return code;
  } finally {
    clearInterval(beat);
    await releaseAll(options);
  }
}

async function rollOut(options: DeployOptions): Promise<number> {
  const { plan, reporter, journal, isInterrupted } = options;
  const perform = createActions({ ...options, floor: plan.floor });
  const run = (stages: Plan['stages']): Promise<Outcome> =>
    runStages(stages, { journal, perform, onEvent: reporter.event, isInterrupted });
  const outcome = await run(plan.stages);
  if (outcome.type === 'done') {
    reporter.recap(plan, journal.entries());
    return EXIT.done;
  }
  if (outcome.type === 'interrupted') {
    reporter.interrupted();
    return EXIT.interrupted;
  }
  reporter.failed(outcome.failures);
  if (outcome.failures.some(isHold)) {
    reporter.held();
    return EXIT.mixed;
  }
  const touched = listTouched(options);
  if (touched.length === 0) {
    reporter.untouched();
    return outcome.failures.some(isRefusal) ? EXIT.refused : EXIT.failed;
  }
  const undone = await run(
    planUndo({ release: plan.release, names: [...options.clients.keys()], hosts: touched }),
  );
  if (undone.type === 'done') {
    reporter.undone(touched);
    return EXIT.undone;
  }
  if (undone.type === 'failed') reporter.failed(undone.failures);
  reporter.mixed();
  return EXIT.mixed;
}

function isRefusal({ error }: StepFailure): boolean {
  return error instanceof HostFailure && error.code === 'refused';
}

/** To go on, or back, would leave fewer hosts than there have to be. */
function isHold({ error }: StepFailure): boolean {
  return error instanceof HostFailure && error.code === 'floor';
}

/** Hosts of which `current` may have been moved, the last one first. */
function listTouched({ plan, journal }: DeployOptions): { name: string; to: string | null }[] {
  const switched = new Set(
    journal
      .entries()
      .filter(({ type, step }) => type === 'intent' && step?.startsWith('switch '))
      .map(({ host }) => host),
  );
  return plan.hosts
    .filter(({ name }) => switched.has(name))
    .map(({ name, from }) => ({ name, to: from }))
    .reverse();
}

/** Null: every host is ours. Otherwise the sentence of the one that is not, and none is. */
async function lockAll({ clients, deploy, holder, release }: DeployOptions): Promise<string | null> {
  const asked = { deploy, holder, doing: `roll to ${release.id}` };
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
  for (const client of clients) await client.call('renew').catch(() => undefined);
}

async function releaseAll({ clients, journal, deploy }: DeployOptions): Promise<void> {
  const lines = journal.entries().map((entry) => JSON.stringify(entry));
  for (const client of clients.values()) {
    try {
      await client.call('journal', { deploy, lines });
      await client.call('release');
    } catch {
      // It ends by itself within a minute, and the journal is here.
    }
  }
}
