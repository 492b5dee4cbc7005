/**
 * The three figures that an operator wants beside a process's name: how much it redirects, how fast, and whether it is
 * ready. They cover the last minute; /metrics has everything since the start.
 */

import type { Clock } from '../kernel/clock.ts';
import type { TalliedHistogram } from './histogram.ts';
import type { Readiness } from './readiness.ts';

export interface Figures {
  readonly redirectsPerMinute: number;
  /** 95 % of the last minute's redirects took at most this long; null when there was none. */
  readonly redirectP95Ms: number | null;
  readonly ready: Readiness['status'];
}

export interface FiguresDeps {
  readonly clock: Clock;
  readonly redirectDuration: Pick<TalliedHistogram, 'read'>;
  readonly readReadiness: () => Promise<Readiness>;
}

/** Redirects since the start of the process that took at most `upTo` seconds; the last bucket has no bound. */
interface Bucket {
  readonly upTo: number;
  readonly count: number;
}

interface Sample {
  readonly atMs: number;
  readonly buckets: readonly Bucket[];
}

const WINDOW_MS = 60_000;

/** Each call takes a sample too, so it wants to be called about once a second. */
export function createFigures({
  clock,
  redirectDuration,
  readReadiness,
}: FiguresDeps): () => Promise<Figures> {
  const takeSample = (): Sample => ({ atMs: clock.monotonicMs(), buckets: redirectDuration.read() });
  let samples: readonly Sample[] = [takeSample()];

  return async () => {
    const newest = takeSample();
    samples = [...samples.filter(({ atMs }) => atMs >= newest.atMs - WINDOW_MS), newest];
    const [oldest = newest] = samples;
    const recent = subtract(newest, oldest);
    const { status } = await readReadiness();
    return {
      redirectsPerMinute: countAll(recent),
      redirectP95Ms: estimateMs(recent, 0.95),
      ready: status,
    };
  };
}

function subtract(newest: Sample, oldest: Sample): Bucket[] {
  return newest.buckets.map(({ upTo, count }, index) => ({
    upTo,
    // The bounds are the same in every sample.
    count: count - (oldest.buckets[index] as Bucket).count,
  }));
}

/** Counts are cumulative, and the last bucket has no bound. */
function countAll(buckets: readonly Bucket[]): number {
  return (buckets.at(-1) as Bucket).count;
}

/** A quantile, even inside its bucket, as Prometheus estimates it; beyond the last bound it is that bound. */
function estimateMs(buckets: readonly Bucket[], quantile: number): number | null {
  const total = countAll(buckets);
  if (total === 0) return null;
  const rank = total * quantile;
  let below: Bucket = { upTo: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.upTo === Number.POSITIVE_INFINITY) break;
    if (bucket.count >= rank) {
      const share = (rank - below.count) / (bucket.count - below.count);
      return (below.upTo + share * (bucket.upTo - below.upTo)) * 1000;
    }
    below = bucket;
  }
  return below.upTo * 1000;
}

/** For people; a dash where nothing was measured yet. */
export function showMs(ms: number | null): string {
  return ms?.toFixed(2) ?? '-';
}
