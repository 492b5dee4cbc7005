/** Whether the service would get its ports on this host. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Environment, managementPortOf, publicPortOf, readServiceEnvironment } from './environment.ts';
import type { Layout } from './layout.ts';
import { readService } from './pm2.ts';

/** Those that somebody else has, of the ones that the service is to listen on. */
export async function listTakenPorts(
  layout: Layout,
  { variables }: { readonly variables: Environment },
): Promise<readonly number[]> {
  const now = readServiceEnvironment(layout);
  const isRunning = (await readService(layout))?.status === 'online';
  const own = isRunning ? [publicPortOf(now), managementPortOf(now)] : [];
  const taken: number[] = [];
  for (const port of [publicPortOf(variables), managementPortOf(variables)]) {
    if (!own.includes(port) && (await isTaken(port))) taken.push(port);
  }
  return taken;
}

async function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port);
    await once(server, 'listening');
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return true;
    throw error;
  } finally {
    server.close();
  }
}
