/** How a host did between two looks at its figures. */

import type { Figures } from '../host/measure.ts';

export interface Rates {
  readonly requests: number;
  /** From 0 to 1; null: nobody asked. */
  readonly errorShare: number | null;
  /** Milliseconds within which 99 of 100 redirects were answered, as the edge of the histogram says it; null: there were none. */
  readonly p99Ms: number | null;
}

/** Since the process began, where `before` is of another one or null. */
export function ratesOf(now: Figures, before: Figures | null): Rates {
  const start = before?.pid === now.pid ? before : null;
  const requests = now.requests - (start?.requests ?? 0);
  const errors = now.errors - (start?.errors ?? 0);
  const buckets = now.redirects.map(({ upToMs, count }, index) => ({
    upToMs,
    count: count - (start?.redirects[index]?.count ?? 0),
  }));
  const all = buckets.at(-1)?.count ?? 0;
  const edge = buckets.find(({ count }) => count >= 0.99 * all);
  return {
    requests,
    errorShare: requests === 0 ? null : errors / requests,
    p99Ms: all === 0 ? null : (edge?.upToMs ?? null),
  };
}
