/**
 * Takes this host out of the balancer's hands while it is changed, and gives it back. /readyz says `draining`, so a balancer that asks
 * it sends nothing more; what comes anyway is served.
 */

import { readManagementPort } from './environment.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { parseConnections, parseCounters } from './measure.ts';
import { ask, poll, type Readyz, readMetrics, readReadyz, requireOk } from './probe.ts';

export interface Drained {
  /** False: no service answers, so there is nothing to be drained. */
  readonly isDrained: boolean;
  /**
   * From the request to the last request of somebody, or until nobody was connected; null: they still came when the time was over, as where
   * no balancer asks /readyz.
   */
  readonly quietMs: number | null;
}

/** Whoever forgets it: it ends by itself. Longer than the slowest drain, switch and proof together. */
const TTL_SECONDS = 600;
/** So long nobody asked for anything. */
const QUIET_MS = 300;
const READY_WITHIN_MS = 15_000;

export async function drain(layout: Layout, { withinMs }: { readonly withinMs: number }): Promise<Drained> {
  const port = readManagementPort(layout);
  if ((await readReadyz(port)) === null) return { isDrained: false, quietMs: null };
  requireOk(await ask(`http://127.0.0.1:${port}/drain?ttl_seconds=${TTL_SECONDS}`, { method: 'POST' }));
  const startedAt = performance.now();
  let last = { requests: -1, atMs: startedAt };
  const quietMs = await poll(
    async () => {
      const text = await readMetrics(port).catch(() => null);
      // One that is too busy to answer is not quiet yet.
      if (text === null) return null;
      const { requests } = parseCounters(text, 0);
      const nowMs = performance.now();
      // Who comes later gets an answer from what is replaced, or from what replaces it.
      if (parseConnections(text) === 0) return Math.round(nowMs - startedAt);
      if (requests !== last.requests) last = { requests, atMs: nowMs };
      return nowMs - last.atMs >= QUIET_MS ? Math.round(last.atMs - startedAt) : null;
    },
    { withinMs },
  );
  return { isDrained: true, quietMs };
}

/** Throws HostError `unhealthy` where it is not ready then, or is missing something that it had before. */
export async function endDrain(
  layout: Layout,
  { reasonsBefore }: { readonly reasonsBefore: readonly string[] },
): Promise<{ readonly readyMs: number }> {
  const port = readManagementPort(layout);
  const startedAt = performance.now();
  requireOk(await ask(`http://127.0.0.1:${port}/drain`, { method: 'DELETE' }));
  let last: Readyz | null = null;
  const ready = await poll(
    async () => {
      last = await readReadyz(port);
      return last !== null && isServing(last, reasonsBefore) ? true : null;
    },
    { withinMs: READY_WITHIN_MS },
  );
  if (ready === null) {
    throw new HostError(
      'unhealthy',
      `It is not ready after its drain; /readyz says ${JSON.stringify(last)}.`,
    );
  }
  return { readyMs: Math.round(performance.now() - startedAt) };
}

function isServing({ status, reasons }: Readyz, reasonsBefore: readonly string[]): boolean {
  return (
    (status === 'ready' || status === 'degraded') && reasons.every((reason) => reasonsBefore.includes(reason))
  );
}
