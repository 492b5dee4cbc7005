/**
 * The service as a process of its own: app/main.ts on free ports, its output read line by line. tap's coverage follows it
 * through NODE_OPTIONS as long as it ends by itself; one that a test leaves running is killed with the test.
 */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { withoutTap } from './run-node.ts';
import { ADMIN_KEY, ask, BASE_URL } from './service.ts';
import { until } from './until.ts';

export interface ServerOptions {
  readonly dataDir: string;
  /** Merged into the usual environment; null removes a variable. */
  readonly env?: Readonly<Record<string, string | null>>;
  /** A folder of `buildRelease` whose program runs instead, faster to start and not covered. */
  readonly release?: string;
  /** Modules loaded before the program, such as one that injects a fault. */
  readonly preload?: readonly string[];
  /** Of its own, behind its name. */
  readonly args?: readonly string[];
  /** What its command begins with, such as that of a network namespace. */
  readonly enter?: readonly string[];
  readonly stdio?: SpawnOptions['stdio'];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  readonly child: ChildProcess;
  /** Every log line so far; throws when a line of standard output is not JSON. */
  readonly log: () => Record<string, unknown>[];
  readonly stderr: () => string;
  readonly exit: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
}

export interface RunningServer extends ServerProcess {
  readonly url: string;
  readonly managementUrl: string;
}

/** How a program of ours is run without a build. */
export const NODE_ARGS: readonly string[] = [
  // Later Nodes strip types by themselves and warn of it.
  '--disable-warning=ExperimentalWarning',
  '--import',
  resolve('scripts/strip-types.mjs'),
];

export const MAIN = resolve('app/main.ts');

export function serverEnvironment({ dataDir, env = {} }: ServerOptions): NodeJS.ProcessEnv {
  const merged: Record<string, string | null | undefined> = {
    ...process.env,
    HOST: '127.0.0.1',
    PORT: '0',
    MANAGEMENT_PORT: '0',
    BASE_URL,
    ADMIN_API_KEY: ADMIN_KEY,
    DATA_DIR: dataDir,
    DRAIN_MS: '0',
    ...env,
  };
  return Object.fromEntries(
    Object.entries(merged).filter(([, value]) => value !== null),
  ) as NodeJS.ProcessEnv;
}

export function spawnServer(t: Test, options: ServerOptions): ServerProcess {
  const [command, ...args] = serverCommand(options);
  const child = spawn(command, args, {
    env: serverEnvironment(options),
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
  });
  return watch(t, child);
}

function serverCommand({
  release,
  preload = [],
  enter = [],
  args = [],
}: ServerOptions): [string, ...string[]] {
  if (release !== undefined) {
    return withoutTap([...enter, process.execPath, join(release, 'dist', 'main.js'), ...args]);
  }
  return [
    process.execPath,
    ...NODE_ARGS,
    ...preload.flatMap((path) => ['--import', resolve(path)]),
    MAIN,
    ...args,
  ];
}

/** Reads what a process says and ends it with the test. */
export function watch(t: Test, child: ChildProcess): ServerProcess {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // `close` comes after the last output, `exit` may come before it.
  const exit = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  return {
    child,
    log: () =>
      stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    stderr: () => stderr,
    exit,
    kill: (signal) => void child.kill(signal),
    stop: (signal = 'SIGINT') => {
      child.kill(signal);
      return exit;
    },
  };
}

/** Waits until it listens. */
export async function startServer(t: Test, options: ServerOptions): Promise<RunningServer> {
  const server = spawnServer(t, options);
  return { ...server, ...(await untilListening(server)) };
}

/** The key of the tests is made once the ports are open, in a database that may be a moment away. */
export async function untilKeyWorks({ url }: Pick<RunningServer, 'url'>): Promise<void> {
  await until('its key works', async () => (await ask('GET', `${url}/api/v1/links?limit=1`)).status === 200);
}

export async function untilListening(
  server: ServerProcess,
): Promise<Pick<RunningServer, 'url' | 'managementUrl'>> {
  let isOver = false;
  void server.exit.then(() => {
    isOver = true;
  });
  const line = await until('the server listens', () => {
    const found = server.log().find(({ msg }) => msg === 'listening');
    return found ?? (isOver ? 'over' : null);
  });
  if (line === 'over') {
    throw new Error(`The server ended: ${JSON.stringify(server.log())} ${server.stderr()}`);
  }
  return {
    url: `http://127.0.0.1:${line.port}`,
    managementUrl: `http://127.0.0.1:${line.management_port}`,
  };
}
