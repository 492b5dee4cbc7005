/**
 * What a bake says of a new release: of so many requests so many were bad, and a share of them is allowed. Few requests prove little, so
 * chance has its say: bad beyond what chance explains fails, and what is neither well nor clearly bad is doubtful.
 */

import type { Counters, Outside, OwnFigures } from '../host/measure.ts';
import type { Manifest } from '../manifest/schema.ts';

export interface Judged {
  readonly requests: number;
  readonly bad: number;
  /** That may be bad, from 0 to 1. */
  readonly shareMax: number;
}

export type Verdict = 'pass' | 'fail' | 'inconclusive';

/** A release as good as it has to be fails by chance once in a thousand times. */
const CHANCE_MAX = 0.001;

export function judge({ requests, bad, shareMax }: Judged): Verdict {
  if (bad <= requests * shareMax) return 'pass';
  return chanceOf({ requests, bad, shareMax }) < CHANCE_MAX ? 'fail' : 'inconclusive';
}

/** The worst one counts. */
function worst(verdicts: readonly Verdict[]): Verdict {
  return (['fail', 'inconclusive'] as const).find((verdict) => verdicts.includes(verdict)) ?? 'pass';
}

/** Of a process since it was looked at first. */
export interface Seen {
  readonly first: OwnFigures;
  readonly now: OwnFigures;
  readonly outside: Outside;
}

/** Counts of that time, and what they come to. */
export interface Baked extends Omit<Counters, 'pid'> {
  readonly verdict: Verdict;
}

export const NOTHING_OUTSIDE: Outside = { synthetic: 0, unanswered: 0, late: 0 };
/** What P99 says. */
const SLOW_SHARE_MAX = 0.01;

export function addOutside(before: Outside, { synthetic, unanswered, late }: Outside): Outside {
  return {
    synthetic: before.synthetic + synthetic,
    unanswered: before.unanswered + unanswered,
    late: before.late + late,
  };
}

/** A request of our own that got no answer is one that failed. */
export function judgeBake(
  { first, now, outside }: Seen,
  { requests_min, error_rate_max }: Pick<Manifest['deploy']['bake'], 'requests_min' | 'error_rate_max'>,
): Baked {
  const { synthetic, unanswered, late } = outside;
  const requests = now.requests - first.requests + unanswered;
  const errors = now.errors - first.errors + unanswered;
  const [redirects, slow] = [now.redirects - first.redirects, now.slow - first.slow];
  const verdict = worst([
    requests === 0 || requests < requests_min ? 'inconclusive' : 'pass',
    judge({ requests, bad: errors, shareMax: error_rate_max }),
    judge({ requests: redirects, bad: slow, shareMax: SLOW_SHARE_MAX }),
    judge({ requests: synthetic, bad: late, shareMax: SLOW_SHARE_MAX }),
  ]);
  return { requests, errors, redirects, slow, synthetic, unanswered, late, verdict };
}

/** That so many or more are bad where each is with the chance `shareMax`: the upper tail of the binomial distribution. */
export function chanceOf({ requests, bad, shareMax }: Judged): number {
  if (shareMax === 0) return bad === 0 ? 1 : 0;
  // From the share that is expected upwards each term is smaller than the one before, by more each time.
  let log = logChoose(requests, bad) + bad * Math.log(shareMax) + (requests - bad) * Math.log1p(-shareMax);
  let sum = 0;
  for (let count = bad; count <= requests; count++) {
    const term = Math.exp(log);
    sum += term;
    if (term < sum * Number.EPSILON) break;
    log += Math.log((requests - count) / (count + 1)) + Math.log(shareMax) - Math.log1p(-shareMax);
  }
  return Math.min(1, sum);
}

function logChoose(all: number, some: number): number {
  let log = 0;
  for (let index = 1; index <= some; index++) log += Math.log((all - some + index) / index);
  return log;
}
