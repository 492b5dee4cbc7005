/**
 * Brings the salts of visitors from the shared database to this host, today's and, in time, tomorrow's: at midnight nobody
 * should have to ask, and a visitor is the same on every host.
 */

import { DAY_MS } from '../clicks/visitor.ts';
import type { Clock } from '../kernel/clock.ts';

export interface SaltKeeperDeps {
  readonly clock: Clock;
  /** The salt of a day for all hosts; the one of whoever asks first. */
  readonly agree: (day: number) => Promise<string>;
  /** What they are kept in, another one after it was replaced: then they are kept again. */
  readonly readPlace: () => unknown;
  readonly keep: (day: number, salt: string) => Promise<void>;
}

/** May be called as often as one likes: what is here is not asked for again. */
export function createSaltKeeper({ clock, agree, readPlace, keep }: SaltKeeperDeps): () => Promise<void> {
  const kept = new Set<number>();
  let place: unknown = null;
  return async () => {
    if (readPlace() !== place) kept.clear();
    place = readPlace();
    const today = Math.floor(clock.nowMs() / DAY_MS);
    for (const day of [today, today + 1]) {
      if (kept.has(day)) continue;
      await keep(day, await agree(day));
      kept.add(day);
    }
    for (const day of kept) if (day < today) kept.delete(day);
  };
}
