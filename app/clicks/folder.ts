/**
 * Brings the figures of clicks up to what is stored: beside the service about once a second, and at once for whoever reads
 * them. A batch is as large as transactions of some milliseconds allow on this machine.
 */

import type { Clock } from '../kernel/clock.ts';
import { nextTurn, type Pacer, type Pause } from '../kernel/portions.ts';
import { shareRuns } from '../kernel/share-runs.ts';
import type { ClickTiers } from './click-tiers.ts';

export interface Folder {
  /**
   * Counts what was stored before the call, at most about `CATCH_UP_MAX` clicks. What was clicked before `asOfMs` is counted
   * then.
   */
  catchUp(): Promise<{ readonly asOfMs: number }>;
  /** The same without a bound, at the pacer's pace. */
  foldAll(isOver: () => boolean): Promise<void>;
}

export interface FolderDeps {
  readonly tiers: Pick<ClickTiers, 'fold' | 'findOldestWaitingMs'>;
  readonly clock: Clock;
  readonly pacer: Pacer;
  /** What a transaction should take. */
  readonly transactionMs: number;
  /** Brings clicks to where they are counted. */
  readonly bringIn?: () => Promise<void>;
}

/** Who asks for figures waits for as many: about a second. Beyond that they are as old as they say. */
export const CATCH_UP_MAX = 20_000;

/** Clicks of a transaction. Fewer cost more each. */
const SLICE_MIN = 10;
const SLICE_MAX = 500;

export function createFolder({ tiers, clock, pacer, transactionMs, bringIn }: FolderDeps): Folder {
  let sliceClicks = SLICE_MIN;

  /** Counts a batch of what was stored up to `untilMs`; `isDone`: that is counted now. */
  async function stepTo(untilMs: number, pause: Pause): Promise<{ clicks: number; isDone: boolean }> {
    const { clicks, isFull, longestMs } = await tiers.fold(sliceClicks, pause);
    if (clicks > 0) sliceClicks = nextSlice({ sliceClicks, isFull, longestMs, transactionMs });
    if (clicks === 0 || isFull) return { clicks, isDone: clicks === 0 };
    const oldestMs = await tiers.findOldestWaitingMs();
    return { clicks, isDone: oldestMs === null || oldestMs > untilMs };
  }

  async function catchUp(): Promise<{ asOfMs: number }> {
    const startedMs = clock.nowMs();
    await bringIn?.();
    for (let counted = 0; counted < CATCH_UP_MAX; await nextTurn()) {
      const { clicks, isDone } = await stepTo(startedMs, nextTurn);
      if (isDone) return { asOfMs: startedMs };
      counted += clicks;
    }
    return { asOfMs: Math.min((await tiers.findOldestWaitingMs()) ?? startedMs, startedMs) };
  }

  return {
    catchUp: shareRuns(catchUp),

    async foldAll(isOver) {
      const startedMs = clock.nowMs();
      const pause = pacer.begin(isOver);
      while (!isOver() && !(await stepTo(startedMs, pause)).isDone) await pause();
    },
  };
}

interface LastBatch {
  readonly sliceClicks: number;
  readonly isFull: boolean;
  readonly longestMs: number;
  readonly transactionMs: number;
}

/** Grows only by batches that had enough to tell. */
function nextSlice({ sliceClicks, isFull, longestMs, transactionMs }: LastBatch): number {
  const fitting = Math.floor((sliceClicks * transactionMs) / Math.max(longestMs, 1));
  const next = fitting < sliceClicks || isFull ? Math.min(fitting, sliceClicks * 2) : sliceClicks;
  return Math.min(Math.max(next, SLICE_MIN), SLICE_MAX);
}
