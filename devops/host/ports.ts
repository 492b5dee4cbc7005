/** Whether the service would get its ports on this host. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Environment, managementPortOf, publicPortOf, readServiceEnvironment } from './environment.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { readService } from './pm2.ts';

const PORT_MAX = 65_535;

/** Those that somebody else has, of the ones that the service is to listen on. Throws HostError `refused` for what is no port. */
export async function listTakenPorts(
  layout: Layout,
  { variables }: { readonly variables: Environment },
): Promise<readonly number[]> {
  const now = readServiceEnvironment(layout);
  const isRunning = (await readService(layout))?.status === 'online';
  const own = isRunning ? [publicPortOf(now), managementPortOf(now)] : [];
  const taken: number[] = [];
  const wanted = { PORT: publicPortOf(variables), MANAGEMENT_PORT: managementPortOf(variables) };
  for (const [name, port] of Object.entries(wanted)) {
    if (!Number.isInteger(port) || port < 0 || port > PORT_MAX)
      throw new HostError('refused', `${name} is ${variables[name]}: expected a number up to ${PORT_MAX}.`);
    if (!own.includes(port) && (await isTaken(port))) taken.push(port);
  }
  return taken;
}

/** Whether somebody on this machine listens there. */
export async function isTaken(port: number): Promise<boolean> {
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
