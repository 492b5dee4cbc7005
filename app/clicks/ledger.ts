/**
 * The balance of clicks of one process: `served = counted + excluded + pending + dropped`, at any moment, because each click
 * is served and accounted for in the same step.
 */

import { CLICK_REASONS, type ClickReason, EXCLUSIONS, type Exclusion } from './click.ts';

export interface LedgerFigures {
  /** 3xx answers to requests for a key. */
  readonly served: number;
  /** Stored. */
  readonly counted: Readonly<Record<ClickReason, number>>;
  readonly excluded: Readonly<Record<Exclusion, number>>;
  /** Served, and waiting in memory for the disk. */
  readonly pending: number;
  /** Served, and lost: there were more than memory may hold, or the process had to end. */
  readonly dropped: number;
  /** Counted, but in a file that is not clicks.db any more: it was deleted, replaced or set aside. */
  readonly missing: number;
}

export interface Ledger {
  count(reason: ClickReason): void;
  exclude(reason: Exclusion): void;
  /** Served, but not stored yet. */
  defer(): void;
  /** One that was deferred is stored. */
  catchUp(reason: ClickReason): void;
  /** Served, and there is no room for it to wait. */
  drop(): void;
  /** Those that wait are given up. */
  dropPending(): void;
  /** So many of those that were counted went with their file. */
  miss(clicks: number): void;
  read(): LedgerFigures;
}

export function createLedger(): Ledger {
  let served = 0;
  const counted = zeros(CLICK_REASONS);
  const excluded = zeros(EXCLUSIONS);
  let pending = 0;
  let dropped = 0;
  let missing = 0;
  return {
    count(reason) {
      served++;
      counted[reason]++;
    },
    exclude(reason) {
      served++;
      excluded[reason]++;
    },
    defer() {
      served++;
      pending++;
    },
    catchUp(reason) {
      pending--;
      counted[reason]++;
    },
    drop() {
      served++;
      dropped++;
    },
    dropPending() {
      dropped += pending;
      pending = 0;
    },
    miss(clicks) {
      missing += clicks;
    },
    read: () => ({
      served,
      counted: { ...counted },
      excluded: { ...excluded },
      pending,
      dropped,
      missing,
    }),
  };
}

function zeros<K extends string>(names: readonly K[]): Record<K, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;
}
