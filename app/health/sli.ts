/**
 * The service level indicator: the share of redirects that were answered well in under 200 ms. Tallied by minute and stored, so
 * that a budget over 30 days survives restarts.
 *
 * Good is a redirect in time. Bad is one that took longer, and an answer that was our fault. A 404 or a 410 is the right answer to
 * a question that has no other, and a client that hangs up before its time is over proves nothing; neither counts.
 */

import type { Clock } from '../kernel/clock.ts';

export interface SliTally {
  readonly good: number;
  readonly total: number;
}

export interface SliStore {
  /**
   * Adds to what is stored of a minute, as another process may have served it too, and forgets minutes that are older than
   * `SLI_DAYS`. Minutes are counted since the epoch.
   */
  addToMinute(minute: number, tally: SliTally): Promise<void>;
  /** Everything from `minute` on. */
  sumSince(minute: number): Promise<SliTally>;
}

export interface Sli {
  /** An answer to a request for a key. 499: the client was gone before it. */
  observe(status: number, seconds: number): void;
  /** Stores the minutes that are over; with `all` the present one, too. What cannot be stored is kept for the next time. */
  flush(options?: { all: boolean }): Promise<void>;
}

export const GOOD_WITHIN_S = 0.2;
/** A budget of 30 days, and some to look back. */
export const SLI_DAYS = 40;
/** Minutes that may wait for the disk: an hour. Beyond it the oldest is forgotten. */
const WAITING_MAX = 60;
const MINUTE_MS = 60_000;

export function createSli({ clock, store }: { clock: Clock; store: SliStore }): Sli {
  const minutes = new Map<number, { good: number; total: number }>();

  function tallyOf(minute: number): { good: number; total: number } {
    const known = minutes.get(minute);
    if (known !== undefined) return known;
    if (minutes.size >= WAITING_MAX) minutes.delete(Math.min(...minutes.keys()));
    const tally = { good: 0, total: 0 };
    minutes.set(minute, tally);
    return tally;
  }

  return {
    observe(status, seconds) {
      const isInTime = seconds <= GOOD_WITHIN_S;
      const isRedirect = status >= 300 && status < 400;
      if (!isRedirect && status < 499) return;
      if (status === 499 && isInTime) return;
      const tally = tallyOf(Math.floor(clock.nowMs() / MINUTE_MS));
      tally.total++;
      if (isRedirect && isInTime) tally.good++;
    },

    async flush({ all } = { all: false }) {
      const present = Math.floor(clock.nowMs() / MINUTE_MS);
      for (const [minute, tally] of minutes) {
        if (minute === present && !all) continue;
        minutes.delete(minute);
        await store.addToMinute(minute, tally).catch((error: unknown) => {
          minutes.set(minute, tally);
          throw error;
        });
      }
    },
  };
}
