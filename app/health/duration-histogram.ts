/**
 * A histogram of durations that costs a redirect next to nothing. prom-client's own hashes its labels anew for each value
 * (measured: 0.8 µs of a redirect's 25, and a redirect has two); here a value is one addition in an array, and the form that
 * prom-client prints is made when somebody asks.
 */

import type { Histogram, Registry } from 'prom-client';

/** An edge at 0.2 s makes the share of redirects under 200 ms exact (S1.9). */
export const DURATION_BUCKETS_S = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10,
] as const;

export interface DurationHistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly registry: Registry;
}

export interface DurationHistogram {
  /** `route` is from a closed set; empty: the histogram has no label. */
  observe(seconds: number, route?: string): void;
  /** Values so far at or under each edge, cumulative; the last edge is infinite. */
  read(route?: string): readonly { readonly upToS: number; readonly count: number }[];
}

interface Series {
  /** One more than there are edges: what is above them all. Not cumulative. */
  readonly counts: Float64Array;
  sum: number;
}

export function createDurationHistogram({
  name,
  help,
  registry,
}: DurationHistogramOptions): DurationHistogram {
  const byRoute = new Map<string, Series>();
  const edges = [...DURATION_BUCKETS_S, Number.POSITIVE_INFINITY];

  function openSeries(route: string): Series {
    const series = { counts: new Float64Array(edges.length), sum: 0 };
    byRoute.set(route, series);
    return series;
  }

  function read(route = ''): { upToS: number; count: number }[] {
    const { counts } = byRoute.get(route) ?? openSeries(route);
    let count = 0;
    return edges.map((upToS, index) => {
      count += counts[index] as number;
      return { upToS, count };
    });
  }

  function print([route, { sum }]: [string, Series]) {
    const labels = route === '' ? {} : { route };
    const buckets = read(route);
    const lines = buckets.map(({ upToS, count }) => ({
      metricName: `${name}_bucket`,
      labels: { le: upToS === Number.POSITIVE_INFINITY ? '+Inf' : upToS, ...labels },
      value: count,
    }));
    const total = buckets.at(-1)?.count;
    return [
      ...lines,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: total },
    ];
  }

  const metric = {
    name,
    get: async () => ({
      name,
      help,
      type: 'histogram',
      values: [...byRoute].flatMap(print),
      aggregator: 'sum',
    }),
  };
  // The registry asks no more of a metric than its name and `get`.
  registry.registerMetric(metric as unknown as Histogram);

  return {
    observe(seconds, route = '') {
      const series = byRoute.get(route) ?? openSeries(route);
      let index = 0;
      while (seconds > (edges[index] as number)) index++;
      (series.counts[index] as number)++;
      series.sum += seconds;
    },
    read,
  };
}
