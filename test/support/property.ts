/**
 * How long and from which seed property tests run. The seed is printed; `SEED` repeats a run, `PROVE=1` makes it long.
 */

import type fc from 'fast-check';
import type { Test } from 'tap';
import { SEED } from './seed.ts';

export interface Effort {
  /** Runs in `npm test`. */
  readonly runs: number;
  /** Runs in `npm run prove`. */
  readonly proveRuns: number;
}

export const IS_PROOF = process.env.PROVE === '1';

/** Parameters for `fc.assert`. */
export function propertyRuns(
  t: Pick<Test, 'comment'>,
  { runs, proveRuns }: Effort,
): Pick<fc.Parameters, 'seed' | 'numRuns' | 'endOnFailure'> {
  const numRuns = IS_PROOF ? proveRuns : runs;
  t.comment(`SEED=${SEED}, ${numRuns} runs`);
  // Where a run costs a database, shrinking would outlast the time-out; the seed tells enough.
  return { seed: SEED, numRuns, endOnFailure: numRuns < 1000 && runs < 100 };
}
