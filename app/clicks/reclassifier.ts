/**
 * Reads stored clicks under the rules of today: a list of bots that knows more names, say. One process does it at a time, who
 * holds the lease. It goes through the clicks that have their rows still, in portions beside the service; one that is cut off is
 * begun anew by whoever asks again, and changes what is left to change.
 */

import type { Clock } from '../kernel/clock.ts';
import { inPortions, type Pacer } from '../kernel/portions.ts';
import type { AgentKind } from './agent.ts';
import type { ClickReason } from './click.ts';
import type { ClickTiers } from './click-tiers.ts';

export interface Reclassification {
  readonly isDryRun: boolean;
  readonly status: 'running' | 'done' | 'failed';
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  /** Clicks that were looked at. */
  readonly read: number;
  /** How many of them changed, or would have. */
  readonly changed: readonly {
    readonly from: ClickReason;
    readonly to: ClickReason;
    readonly clicks: number;
  }[];
}

export interface Reclassifier {
  /** Null: it is under way already, here or in another process. */
  start(options: { readonly isDryRun: boolean }): Promise<Reclassification | null>;
  /** The last one of this process. */
  read(): Reclassification | null;
  /** Ends what is under way. */
  close(): Promise<void>;
}

export interface ReclassifierDeps {
  readonly tiers: Pick<ClickTiers, 'reclassify' | 'listSegments' | 'takeLease'>;
  readonly clock: Clock;
  readonly pacer: Pacer;
  /** The name of this process among those that share the database. */
  readonly holder: string;
  readonly readAgent: (agent: string) => AgentKind;
  readonly onFailed: (error: unknown) => void;
}

/** Renewed before each portion; so long a process that was killed keeps others from it. */
const LEASE_MS = 60_000;

export function createReclassifier(deps: ReclassifierDeps): Reclassifier {
  const { tiers, clock, pacer, holder, readAgent, onFailed } = deps;
  let isClosing = false;
  let isRunning = false;
  let working: Promise<void> = Promise.resolve();
  let last: Reclassification | null = null;

  const takeLease = (forMs: number) =>
    tiers.takeLease({ name: 'reclassify', holder, nowMs: clock.nowMs(), forMs });
  const judge = (agent: string, reason: ClickReason) => judgeAnew(readAgent(agent), reason);

  async function work(isDryRun: boolean): Promise<void> {
    for (const { id: segment } of await tiers.listSegments()) {
      let after = 0;
      const step = async (): Promise<boolean> => {
        if (!(await takeLease(LEASE_MS))) throw new Error('Another process reclassifies clicks now.');
        const portion = await tiers.reclassify({ segment, after, isDryRun, judge });
        last = add(last as Reclassification, portion);
        after = portion.last ?? after;
        return portion.last !== null;
      };
      await inPortions(step, { pacer, isOver: () => isClosing });
    }
  }

  async function run(isDryRun: boolean): Promise<void> {
    let status: 'done' | 'failed' = 'failed';
    try {
      await work(isDryRun);
      if (!isClosing) status = 'done';
    } catch (error) {
      onFailed(error);
    }
    // Others may have it now; if that cannot be said, they have it soon.
    await takeLease(0).catch(onFailed);
    isRunning = false;
    last = { ...(last as Reclassification), status, endedAtMs: clock.nowMs() };
  }

  return {
    async start({ isDryRun }) {
      if (isRunning) return null;
      isRunning = true;
      try {
        isRunning = await takeLease(LEASE_MS);
      } catch (error) {
        isRunning = false;
        throw error;
      }
      if (!isRunning) return null;
      last = {
        isDryRun,
        status: 'running',
        startedAtMs: clock.nowMs(),
        endedAtMs: null,
        read: 0,
        changed: [],
      };
      working = run(isDryRun);
      return last;
    },
    read: () => last,
    async close() {
      isClosing = true;
      await working;
    },
  };
}

/**
 * A click that was loaded ahead stays that, since its headers are gone. Whether one that was no person's would have been a repeat is not
 * known either: it counts as a person's.
 */
function judgeAnew(kind: AgentKind, reason: ClickReason): ClickReason {
  if (reason === 'prefetch') return reason;
  if (kind !== 'browser') return kind;
  return reason === 'repeat' ? reason : 'human';
}

function add(
  before: Reclassification,
  { read, changes }: { readonly read: number; readonly changes: readonly Pick<Change, 'from' | 'to'>[] },
): Reclassification {
  const counts = new Map(before.changed.map((change) => [`${change.from} ${change.to}`, change]));
  for (const { from, to } of changes) {
    const name = `${from} ${to}`;
    counts.set(name, { from, to, clicks: (counts.get(name)?.clicks ?? 0) + 1 });
  }
  return { ...before, read: before.read + read, changed: [...counts.values()] };
}

type Change = Reclassification['changed'][number];
