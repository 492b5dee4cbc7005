/**
 * Holds the books of clicks against what is there: what this process says it stored against its rows, what was counted of other
 * processes against theirs, and totals against what they are made of. While clicks come in: rows are counted up to where they
 * were when it began.
 */

import { nextTurn } from '../kernel/portions.ts';
import type { ClickTiers, SegmentFigures } from './click-tiers.ts';

/** All 0 when the books are right. */
export interface Recount {
  /** Clicks that this process stored and that have no row, as after a file was lost. */
  readonly lost: number;
  /** Counted clicks of other processes that have no row. */
  readonly missing: number;
  /** Clicks that were counted and are in no total. */
  readonly totals: number;
  /** Clicks of the totals that are in no quarter and no day. */
  readonly tiers: number;
  /** All of these, whichever way they are wrong. */
  readonly drift: number;
}

/** What this process stored, of one moment. */
export interface OwnClicks {
  /** The name of its segment. */
  readonly segment: string;
  /** Of its last click. */
  readonly sequence: number;
  readonly counted: number;
}

export interface RecountDeps {
  readonly tiers: Pick<ClickTiers, 'listSegments' | 'countRows' | 'compareTiers'>;
  readonly readOwn: () => OwnClicks;
}

/** Null: clicks were removed all the while, or it was over before the end. */
export type Recounter = (isOver: () => boolean) => Promise<Recount | null>;

/** A purge removes rows while they are counted; then they are counted anew. */
const TRIES = 3;

export function createRecounter({ tiers, readOwn }: RecountDeps): Recounter {
  async function countRows(segment: number, upTo: number, isOver: () => boolean): Promise<number> {
    let count = 0;
    for (let after = 0; after < upTo && !isOver(); await nextTurn()) {
      const { rows, last } = await tiers.countRows({ segment, after, upTo });
      count += rows;
      after = last;
    }
    return count;
  }

  async function compareRows(isOver: () => boolean): Promise<{ lost: number; missing: number } | null> {
    const own = readOwn();
    const segments = await tiers.listSegments();
    let lost = own.counted;
    let missing = 0;
    for (const { id, name, foldedTo, folded, removed } of segments) {
      const isOwn = name === own.segment;
      const rows = await countRows(id, isOwn ? own.sequence : foldedTo, isOver);
      if (isOwn) lost -= rows + removed;
      else missing += Math.abs(folded - removed - rows);
    }
    const isSame = sumRemoved(segments) === sumRemoved(await tiers.listSegments());
    return isSame && !isOver() ? { lost, missing } : null;
  }

  return async (isOver) => {
    for (let tried = 0; tried < TRIES && !isOver(); tried++) {
      const compared = await compareRows(isOver);
      if (compared === null) continue;
      const { lost, missing } = compared;
      const { totals, tiers: split } = await tiers.compareTiers();
      const drift = Math.abs(lost) + missing + Math.abs(totals) + Math.abs(split);
      return { lost, missing, totals, tiers: split, drift };
    }
    return null;
  };
}

function sumRemoved(segments: readonly SegmentFigures[]): number {
  return segments.reduce((sum, { removed }) => sum + removed, 0);
}
