/**
 * The storage port of what is counted: stored clicks become figures of links, days and visitors a portion at a time, and
 * figures become coarser with age. Every call is one short transaction, so that no redirect waits long behind it, or some with turns between.
 */

import type { Pause } from '../kernel/portions.ts';
import type { ClickReason } from './click.ts';

/** How often a link was followed. */
export interface LinkUse {
  /** By people, as far as it is counted. */
  readonly clicks: number;
  /** What is used of its `max_clicks`: every redirect since it first had one, whoever asked. */
  readonly ofMax: number;
}

export interface ClickTiers {
  /**
   * Counts a batch of stored clicks of one process, each exactly once whoever else counts; about `sliceClicks` of them in one
   * transaction. Between transactions it pauses, by default for a turn of the event loop.
   */
  fold(sliceClicks: number, pause?: Pause): Promise<FoldResult>;
  /** When the oldest click was made that is stored and not counted yet; null: all are counted. */
  findOldestWaitingMs(): Promise<number | null>;
  /** By link; one that nobody followed is missing. */
  readUse(linkIds: readonly number[]): Promise<ReadonlyMap<number, LinkUse>>;

  /** Removes a portion of the clicks of one link, and takes them out of all figures. False: nothing is left. */
  purgeLink(linkId: number): Promise<boolean>;
  /** Clicks of links purged up to this change are gone. */
  readPurgedTo(): Promise<number>;
  /** Those behind `afterSeq` are purged up to `seq`. Without effect where others are to be purged meanwhile, as by `purgeAgain`. */
  writePurgedTo(seq: number, afterSeq: number): Promise<void>;
  /** Those that were purged since the last call are to be purged once more: clicks that waited for the disk come late. */
  purgeAgain(): Promise<void>;

  /** Removes a portion of the counted clicks that are older. False: nothing is left. */
  removeOldClicks(beforeMs: number): Promise<boolean>;
  /** Makes days of a portion of the quarters that are older. False: nothing is left. */
  rollUpQuarters(beforeDay: number): Promise<boolean>;
  forgetSalts(beforeDay: number): Promise<void>;

  /** Reads a portion of the counted clicks of one process anew, each of which `judge` gives its reason. */
  reclassify(range: ReclassifyRange): Promise<ReclassifiedPortion>;

  listSegments(): Promise<readonly SegmentFigures[]>;
  /** Rows of one process behind the sequence `after` up to `upTo`: a portion, which ends at `last`. */
  countRows(range: RowRange): Promise<{ readonly rows: number; readonly last: number }>;
  compareTiers(): Promise<TierDifferences>;
  /** Processes that were not seen since then, and whose clicks are all counted, are not looked at any more. */
  endSegments(notSeenSinceMs: number): Promise<void>;
  /** This process lives. `atMs` by its own clock, as in `readNowMs`. */
  noteSeen(segment: string, atMs: number): Promise<void>;

  readStorage(): Promise<ClickStorage>;

  /** The time that decides what is old: of the caller's clock, or of the database's where hosts share one. */
  readNowMs(callerMs: number): Promise<number>;
  /** Whether `holder` alone may do a piece of work for `forMs`. Taken again by who has it, it lasts longer. */
  takeLease(lease: Lease): Promise<boolean>;
  /** The last day whose nightly work is done. */
  readNight(): Promise<number | null>;
  writeNight(day: number): Promise<void>;
}

export interface FoldResult {
  /** How many it were; 0: none waits. */
  readonly clicks: number;
  /** As many as a batch may have. */
  readonly isFull: boolean;
  /** For how long at most nobody else could write. */
  readonly longestMs: number;
}

/** One start of one process. Clicks up to the sequence `foldedTo` are in the totals: `folded`, of which `removed` have no row. */
export interface SegmentFigures {
  readonly id: number;
  readonly name: string;
  readonly foldedTo: number;
  readonly folded: number;
  readonly removed: number;
}

export interface ReclassifyRange {
  readonly segment: number;
  /** The sequence behind which the portion begins. */
  readonly after: number;
  /** Finds out what would change, and changes nothing. */
  readonly isDryRun: boolean;
  readonly judge: (agent: string, reason: ClickReason) => ClickReason;
}

export interface ReclassifiedPortion {
  readonly read: number;
  /** Where it ended; null: nothing was left. */
  readonly last: number | null;
  readonly changes: readonly { readonly from: ClickReason; readonly to: ClickReason }[];
}

export interface RowRange {
  readonly segment: number;
  readonly after: number;
  readonly upTo: number;
}

/** All 0 when the books are right. */
export interface TierDifferences {
  /** Clicks that were counted and are in no total; negative: totals have more. */
  readonly totals: number;
  /** Clicks of the totals that are in no quarter and no day. */
  readonly tiers: number;
}

export interface Lease {
  readonly name: string;
  readonly holder: string;
  /** By the caller's clock; where hosts share a database, its own counts. */
  readonly nowMs: number;
  readonly forMs: number;
}

export interface ClickStorage {
  /** Of the whole file. */
  readonly bytes: number;
  /** Stored clicks, and of these how many are not counted yet. */
  readonly clicks: number;
  readonly waiting: number;
  readonly oldestClickMs: number | null;
  /** Start of the oldest day, by tier; null: it is empty. */
  readonly oldestQuarterMs: number | null;
  readonly oldestDayMs: number | null;
  readonly oldestDetailMs: number | null;
  readonly oldestVisitorMs: number | null;
}
