// The servers that are compared, each a process of its own on a free port of the loopback interface.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CONTENDERS = ['bare', 'express', 'fleetlink'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export interface Contender {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STARTED_WITHIN_MS = 30_000;

export async function startContender(
  name: ContenderName,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Contender> {
  const [port, managementPort] = await Promise.all([findFreePort(), findFreePort()]);
  const log = openSync(join(folder, `${name}.log`), 'w');
  const child = spawn(process.execPath, [scriptOf(name)], {
    cwd: ROOT,
    stdio: ['ignore', log, 'inherit'],
    env: {
      ...process.env,
      PORT: String(port),
      MANAGEMENT_PORT: String(managementPort),
      DATA_DIR: folder,
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      BASE_URL: 'http://sho.rt',
      ...env,
    },
  });
  closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  await waitUntilAnswering(url, child);
  return { url, pid: child.pid ?? 0, stop: () => stop(child) };
}

function scriptOf(name: ContenderName): string {
  if (name === 'fleetlink') return join(ROOT, 'dist/main.js');
  return join(ROOT, `scripts/bench/${name}-server.mjs`);
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

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  await ended;
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('No free port was found.');
  return address.port;
}
