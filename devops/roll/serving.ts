/** Whether hosts serve people. */

import type { Readyz } from '../host/probe.ts';
import type { HostClient } from '../remote/host-client.ts';

/** False also where it does not answer, or cannot be reached. */
export async function isServing(client: HostClient): Promise<boolean> {
  const readyz = await client.call<Readyz | null>('readyz').catch(() => null);
  return readyz?.status === 'ready' || readyz?.status === 'degraded';
}
