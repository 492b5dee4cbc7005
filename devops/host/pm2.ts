/**
 * PM2 of this host, by its own commands. What they print or return says nothing of health: a reload whose new process does not start
 * says ✓ and ends the old one (measured); so everything here is asked again afterwards.
 */

import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';

export interface ServiceProcess {
  /** 0 while there is none. */
  readonly pid: number;
  readonly status: string;
  readonly restarts: number;
  /** When it was started, in milliseconds since 1970. */
  readonly startedAtMs: number;
}

const APP = 'fleetlink';
/** Longer than the slowest reload: 30 s until it is ready, 35 s until the old one is gone. */
const ANSWER_MS = 90_000;

/** Null: PM2 does not know the service. */
export async function readService(layout: Layout): Promise<ServiceProcess | null> {
  const text = await pm2(layout, ['jlist']);
  // Behind what it says of itself, such as that its daemon was started.
  const list = text.split('\n').findLast((line) => line.startsWith('[{') || line.startsWith('[]')) ?? '';
  const apps = JSON.parse(list) as {
    name: string;
    pid: number;
    pm2_env: { status: string; restart_time: number; pm_uptime: number };
  }[];
  const app = apps.find(({ name }) => name === APP);
  if (app === undefined) return null;
  const { status, restart_time: restarts, pm_uptime: startedAtMs } = app.pm2_env;
  return { pid: app.pid, status, restarts, startedAtMs };
}

/** Starts what is `current`, or lets it take over from what runs. */
export async function startOrReload(layout: Layout): Promise<void> {
  const running = await readService(layout);
  const ecosystem = join(layout.current, 'ecosystem.config.cjs');
  if (running === null) await pm2(layout, ['start', ecosystem]);
  // One that waits between two starts is started at once.
  else if (running.status !== 'online') await pm2(layout, ['restart', ecosystem, '--update-env']);
  else await pm2(layout, ['reload', ecosystem, '--update-env']);
  await pm2(layout, ['save', '--force']);
}

export async function deleteService(layout: Layout): Promise<void> {
  if ((await readService(layout)) !== null) await pm2(layout, ['delete', APP]);
}

/** A short environment of its own: PM2 keeps what it is given, and hands it to the service. */
async function pm2(layout: Layout, args: readonly string[]): Promise<string> {
  const env = {
    PATH: `${dirname(layout.node)}:/usr/local/bin:/usr/bin:/bin`,
    HOME: layout.root,
    PM2_HOME: layout.pm2Home,
    FLEETLINK_ROOT: layout.root,
  };
  try {
    const { stdout } = await promisify(execFile)(
      layout.node,
      [layout.pm2, ...args, '--silent'].filter(isWanted(args)),
      {
        env,
        cwd: layout.root,
        timeout: ANSWER_MS,
        maxBuffer: 16 * 1024 * 1024,
      },
    );
    return stdout;
  } catch (error) {
    const {
      stdout = '',
      stderr = '',
      message,
    } = error as { stdout?: string; stderr?: string; message: string };
    const said = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
    throw new HostError('pm2_failed', `pm2 ${args[0]} failed: ${message.split('\n')[0]}`, said.slice(-15));
  }
}

/** `jlist` prints JSON, and nothing at all when it is silent. */
function isWanted([command]: readonly string[]): (arg: string) => boolean {
  return (arg) => command !== 'jlist' || arg !== '--silent';
}
