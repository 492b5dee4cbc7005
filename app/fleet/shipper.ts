/**
 * Carries the clicks of this host, which are on its own disk before they are answered, into the shared database. A batch that
 * was sent and whose answer got lost is sent again and changes nothing, so each click arrives once, whoever is killed when.
 *
 *   clicks.db ─▶ oldest that are not shipped ─▶ merge there, in one transaction ─▶ forget them here
 */

import type { Click } from '../clicks/click.ts';
import type { Pacer } from '../kernel/portions.ts';
import { shareRuns } from '../kernel/share-runs.ts';

/** Clicks of one process of this host, without a gap: all between those shipped before and the last of them. */
export interface ClickBatch {
  /** The name of the process, which no other has. */
  readonly segment: string;
  readonly startedAtMs: number;
  readonly clicks: readonly ShippedClick[];
}

export interface ShippedClick extends Click {
  /** In its segment. */
  readonly sequence: number;
}

/** This host's clicks.db. */
export interface ClickOutbox {
  /** Null: everything is shipped. */
  readBatch(): Promise<ClickBatch | null>;
  /** They are safe elsewhere; nothing keeps them here. */
  forget(batch: ClickBatch): Promise<void>;
  /** Forgets some that came there in another way, as by a move (store/move/). False: none are left. */
  sweep(): Promise<boolean>;
  countWaiting(): Promise<number>;
}

export interface ClickInbox {
  /** Stores what is not there yet, all or nothing. */
  merge(batch: ClickBatch): Promise<void>;
}

export interface Shipper {
  /** Ships what was stored before the call, in the time that the event loop has left. */
  ship(): Promise<void>;
  /** The same without a pause: for a stop, and for whoever asks for figures. */
  shipNow(): Promise<void>;
}

export interface ShipperDeps {
  readonly outbox: Omit<ClickOutbox, 'sweep'>;
  readonly inbox: ClickInbox;
  readonly pacer: Pacer;
}

export function createShipper({ outbox, inbox, pacer }: ShipperDeps): Shipper {
  /** Those who wait for a run. */
  let waiting = 0;

  const run = shareRuns(async () => {
    const pause = pacer.begin(() => waiting > 0);
    // What comes in meanwhile is for the next time, so that this one ends.
    let left = await outbox.countWaiting();
    while (left > 0) {
      const batch = await outbox.readBatch();
      if (batch === null) return;
      await inbox.merge(batch);
      await outbox.forget(batch);
      left -= batch.clicks.length;
      await pause();
    }
  });

  return {
    ship: run,
    async shipNow() {
      waiting++;
      try {
        await run();
      } finally {
        waiting--;
      }
    },
  };
}
