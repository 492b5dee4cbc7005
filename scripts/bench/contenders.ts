// The servers that are compared, each a process of its own on a free port of the loopback interface.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findFreePort, stopProcess } from '../processes.ts';

export const CONTENDERS = [
  'bare',
  'express',
  'fleetlink',
  'fleetlink, no access log',
  'fleetlink, PM2',
] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export interface Contender {
  readonly url: string;
  /** Of Fleetlink. */
  readonly managementUrl: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STARTED_WITHIN_MS = 30_000;

/** `folder` is the data folder of those that have one; logs and what PM2 keeps lie there too. */
export async function startContender(
  name: ContenderName,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Contender> {
  const [port, managementPort] = await Promise.all([findFreePort(), findFreePort()]);
  const whole = {
    ...process.env,
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
    DATA_DIR: folder,
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    BASE_URL: 'http://sho.rt',
    LOG_LEVEL: name === 'fleetlink, no access log' ? 'warn' : 'info',
    ...env,
  };
  const url = `http://127.0.0.1:${port}`;
  const managementUrl = `http://127.0.0.1:${managementPort}`;
  if (name === 'fleetlink, PM2') return { url, managementUrl, ...(await startUnderPm2(folder, whole)) };
  const log = openSync(join(folder, 'log'), 'w');
  const child = spawn(process.execPath, [scriptOf(name)], {
    cwd: ROOT,
    stdio: ['ignore', log, 'inherit'],
    env: whole,
  });
  closeSync(log);
  await waitUntilAnswering(url, child);
  return { url, managementUrl, pid: child.pid ?? 0, stop: () => stopProcess(child) };
}

function scriptOf(name: Exclude<ContenderName, 'fleetlink, PM2'>): string {
  if (name === 'bare' || name === 'express') return join(ROOT, `scripts/bench/${name}-server.mjs`);
  return join(ROOT, 'dist/main.js');
}

/** With a daemon of its own, which goes with it. */
async function startUnderPm2(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Pick<Contender, 'pid' | 'stop'>> {
  const pm2 = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(ROOT, 'node_modules/pm2/bin/pm2'), ...args], {
      cwd: ROOT,
      env: { ...env, PM2_HOME: join(folder, 'pm2') },
    });
  const stopDaemon = async (): Promise<void> => void (await pm2('kill'));
  try {
    await pm2('start', 'ecosystem.config.cjs');
    const { stdout } = await pm2('pid', 'fleetlink');
    return { pid: Number(stdout.trim().split('\n').at(-1)), stop: stopDaemon };
  } catch (error) {
    await stopDaemon();
    throw error;
  }
}

/** What a process keeps in memory that is not a file. */
export function readAnonymousMb(pid: number): number {
  const kilobytes = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

async function waitUntilAnswering(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + STARTED_WITHIN_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The contender at ${url} ended with ${child.exitCode}.`);
    try {
      await fetch(url, { redirect: 'manual' });
      return;
    } catch {
      // Not listening yet.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`The contender at ${url} did not answer within ${STARTED_WITHIN_MS} ms.`);
}
