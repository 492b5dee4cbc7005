/** Chance that can be had again: `SEED=… npx tap …` repeats a run, as far as time allows. */

import type { Test } from 'tap';

/** In [0, 1). */
export type Random = () => number;

/** The seed is in the output whether the test passes or fails. */
export function createSeededRandom(t: Test): Random {
  const seed =
    process.env.SEED === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(process.env.SEED);
  t.comment(`SEED=${seed}`);
  return createRandom(seed);
}

/** mulberry32: small, and even enough to choose moments with. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `min` to `max`. */
export function pickInteger(random: Random, { min, max }: { min: number; max: number }): number {
  return min + Math.floor(random() * (max - min + 1));
}
