/**
 * A histogram that costs a redirect next to nothing. prom-client's own hashes its labels anew for each value
 * (measured: 0.8 µs of a redirect's 25, and a redirect has two); here a value is one addition in an array, and the form that
 * prom-client prints is made when somebody asks.
 */

import type { Histogram, Registry } from 'prom-client';

/** Seconds. The edge at 0.2 makes the share of redirects under 200 ms exact (S1.9). */
const DURATION_EDGES = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10] as const;

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly registry: Registry;
  /** Ascending; those of durations in seconds when not given. */
  readonly edges?: readonly number[];
}

export interface TalliedHistogram {
  /** `route` is from a closed set; empty: the histogram has no label. */
  observe(value: number, route?: string): void;
  /** Values so far at or under each edge, cumulative; the last edge is infinite. */
  read(route?: string): readonly { readonly upTo: number; readonly count: number }[];
}

interface Series {
  /** One more than there are edges: what is above them all. Not cumulative. */
  readonly counts: Float64Array;
  sum: number;
}

export function createTalliedHistogram(options: HistogramOptions): TalliedHistogram {
  const { name, help, registry } = options;
  const byRoute = new Map<string, Series>();
  const edges = [...(options.edges ?? DURATION_EDGES), Number.POSITIVE_INFINITY];

  function openSeries(route: string): Series {
    const series = { counts: new Float64Array(edges.length), sum: 0 };
    byRoute.set(route, series);
    return series;
  }

  function read(route = ''): { upTo: number; count: number }[] {
    const { counts } = byRoute.get(route) ?? openSeries(route);
    let count = 0;
    return edges.map((upTo, index) => {
      count += counts[index] as number;
      return { upTo, count };
    });
  }

  function print([route, { sum }]: [string, Series]) {
    const labels = route === '' ? {} : { route };
    const buckets = read(route);
    const lines = buckets.map(({ upTo, count }) => ({
      metricName: `${name}_bucket`,
      labels: { le: upTo === Number.POSITIVE_INFINITY ? '+Inf' : upTo, ...labels },
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
    observe(value, route = '') {
      const series = byRoute.get(route) ?? openSeries(route);
      let index = 0;
      while (value > (edges[index] as number)) index++;
      (series.counts[index] as number)++;
      series.sum += value;
    },
    read,
  };
}
