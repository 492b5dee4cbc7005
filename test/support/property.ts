/**
 * How long and from which seed property tests run. The seed is printed; `SEED` repeats a run, `PROVE=1` makes it long.
 */

import type fc from 'fast-check';
import type { Test } from 'tap';

export interface Effort {
  /** Runs in `npm test`. */
  readonly runs: number;
  /** Runs in `npm run prove`. */
  readonly proveRuns: number;
}

export const IS_PROOF = process.env.PROVE === '1';

const seed = readSeed(process.env.SEED);

/** Parameters for `fc.assert`. */
export function propertyRuns(
  t: Pick<Test, 'comment'>,
  { runs, proveRuns }: Effort,
): Pick<fc.Parameters, 'seed' | 'numRuns' | 'endOnFailure'> {
  const numRuns = IS_PROOF ? proveRuns : runs;
  t.comment(`SEED=${seed}, ${numRuns} runs`);
  // Where a run costs a database, shrinking would outlast the time-out; the seed tells enough.
  return { seed, numRuns, endOnFailure: numRuns < 1000 && runs < 100 };
}

function readSeed(text: string | undefined): number {
  if (text === undefined || text === '') return Math.floor(Math.random() * 0x7fffffff);
  if (!/^-?\d{1,10}$/.test(text))
    throw new Error(`SEED: expected a whole number, got ${JSON.stringify(text)}`);
  return Number(text);
}
