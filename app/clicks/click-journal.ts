/**
 * The storage port of the redirect: clicks on their way to the disk, and the quotas they use up. It answers at once, because a
 * redirect waits for it.
 */

import type { Click } from './click.ts';

/** How often a link may be followed, and what a request wants of that. */
export interface Quota {
  readonly linkId: number;
  /** At least 1. */
  readonly clicksMax: number;
  /** The change of the link that set `clicksMax`: what was used before a lost file cannot be known. */
  readonly setBySeq: number;
  /** Whether it may be followed is asked, and nothing used up, as HEAD does. */
  readonly isOnlyAsked: boolean;
}

/** One redirect: what is to be stored of it, if anything, and whose quota it takes from. */
export interface JournalEntry {
  readonly click: Click | null;
  readonly quota: Quota | null;
}

/**
 * `stored`: with what it takes from its quota · `spent`: the quota is used up, nothing was stored · `unknown`: how much of it is
 * used was lost with a file.
 */
export type Verdict = 'stored' | 'spent' | 'unknown';

export interface ClickJournal {
  /**
   * Stores the entries in one transaction: a verdict for each, or null when all are stored. `busy`: another process
   * writes just now, and nothing was stored. Throws when the file cannot be written; then nothing was stored either.
   */
  append(entries: readonly JournalEntry[]): readonly Verdict[] | null | 'busy';
  /** Why the start left it unusable, and `repair` has to be asked first; null: it can be appended to. */
  failure(): unknown;
  /** Tries to make a file that failed usable again: by opening it anew, or by setting a damaged one aside. */
  repair(error: unknown): Promise<void>;
}
