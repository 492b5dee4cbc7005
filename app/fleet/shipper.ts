/**
 * Carries the clicks of this host, which are on its own disk before they are answered, into the shared database. A batch that
 * was sent and whose answer got lost is sent again and changes nothing, so each click arrives once, whoever is killed when.
 *
 *   clicks.db ─▶ oldest that are not shipped ─▶ merge there, in one transaction ─▶ forget them here
 *
 * Clicks belong to the database that the host asked when they were stored: in another one links with the same ids would get them. So
 * each process of a host is bound to a database by its number, and what belongs elsewhere stays here.
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
  /**
   * What this process and those before it have, and belongs to no database yet, belongs to this one from here on. One that has started
   * since may have another.
   */
  bindTo(database: number): Promise<void>;
  /** Of what belongs to `database`. Null: everything is shipped. */
  readBatch(database: number): Promise<ClickBatch | null>;
  /** They are safe elsewhere; nothing keeps them here. */
  forget(batch: ClickBatch): Promise<void>;
  /** Forgets some that came there in another way, as by a move (store/move/). False: none are left. */
  sweep(): Promise<boolean>;
  countWaiting(): Promise<number>;
  /** Those that belong to another database. */
  countStranded(database: number): Promise<number>;
}

export interface ClickInbox {
  /** The number that the database was given when it was made. */
  readDatabase(): Promise<number>;
  /** Stores what is not there yet, all or nothing. False: it is not `database` any more, and nothing was stored. */
  merge(batch: ClickBatch, database: number): Promise<boolean>;
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
  /** Told of clicks that belong to another database than the one that answers, when there are some and there were none. */
  readonly onStranded: (clicks: number) => void;
}

export function createShipper({ outbox, inbox, pacer, onStranded }: ShipperDeps): Shipper {
  /** Those who wait for a run. */
  let waiting = 0;
  /** Null: it has to be asked, since it is another one or was never asked. */
  let database: number | null = null;
  let stranded = 0;

  function strand(clicks: number): void {
    if (clicks > 0 && stranded === 0) onStranded(clicks);
    stranded = clicks;
  }

  const run = shareRuns(async () => {
    const pause = pacer.begin(() => waiting > 0);
    database ??= await inbox.readDatabase();
    await outbox.bindTo(database);
    const elsewhere = await outbox.countStranded(database);
    strand(elsewhere);
    // What comes in meanwhile is for the next time, so that this one ends.
    let left = (await outbox.countWaiting()) - elsewhere;
    while (left > 0) {
      const batch = await outbox.readBatch(database);
      if (batch === null) return;
      if (!(await inbox.merge(batch, database))) {
        database = null;
        return;
      }
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
