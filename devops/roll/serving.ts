/** Whether hosts serve people, and since when a balancer may know it. */

import type { Readyz } from '../host/probe.ts';
import type { HostClient } from '../remote/host-client.ts';

/** So long after a host is ready again a balancer may not send to it yet: two questions that it asks every half second, and some. */
export const BALANCER_MS = 2000;

/** False also where it does not answer, or cannot be reached. */
export async function isServing(client: HostClient): Promise<boolean> {
  const readyz = await client.call<Readyz | null>('readyz').catch(() => null);
  return readyz?.status === 'ready' || readyz?.status === 'degraded';
}
