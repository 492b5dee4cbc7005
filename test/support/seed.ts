/** Chance that can be had again: the seed is printed, and `SEED=… npx tap …` repeats a run, as far as time allows. */

import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Test } from 'tap';

/** In [0, 1). */
export type Random = () => number;

/** Of this process: from SEED, or a new one. */
export const SEED = readSeed(process.env.SEED);

/** The seed is in the output whether the test passes or fails. */
export function createSeededRandom(t: Pick<Test, 'comment'>): Random {
  t.comment(`SEED=${SEED}`);
  return createRandom(SEED);
}

export function createRandom(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  return () => uniformFloat64(generator);
}

/** A whole number from `min` to `max`. */
export function pickInteger(random: Random, { min, max }: { min: number; max: number }): number {
  return min + Math.floor(random() * (max - min + 1));
}

function readSeed(text: string | undefined): number {
  if (text === undefined || text === '') return Math.floor(Math.random() * 0x7fffffff);
  if (!/^-?\d{1,10}$/.test(text)) {
    throw new Error(`SEED: expected a whole number, got ${JSON.stringify(text)}`);
  }
  return Number(text);
}
