/**
 * A real PostgreSQL for the tests: one server for a test file, as an unprivileged user, and an empty database for each test.
 * `TEST_DATABASE_URL` uses a given server instead, whose user may create databases.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { findCommand } from '../../scripts/requirements.ts';
import { until } from './until.ts';

export interface PostgresServer {
  /** An empty database, removed with the test. */
  createDatabase(t: Test): Promise<string>;
  /** Ends the server at once, as a power cut does to everybody who is connected. Not of a given one. */
  kill(): Promise<void>;
  /** Stops it in the middle of what it does, and lets it go on. */
  freeze(): void;
  thaw(): void;
  /** Again, on what is there. */
  start(): Promise<void>;
}

/** Ended with `t`, the whole test file, which asks `requireCommand(t, 'initdb')` before. */
export async function startPostgres(t: Test): Promise<PostgresServer> {
  const given = process.env.TEST_DATABASE_URL;
  const server = given === undefined ? prepareServer(t) : null;
  const url = server?.url ?? (given as string);
  await server?.start();
  const own = (): OwnServer => {
    if (server === null) throw new Error('A given server is not ours to end.');
    return server;
  };
  return {
    async createDatabase(test) {
      const name = `test_${randomBytes(6).toString('hex')}`;
      await run(url, `create database ${name}`);
      test.teardown(() => run(url, `drop database if exists ${name} with (force)`));
      const database = new URL(url);
      database.pathname = `/${name}`;
      return database.href;
    },
    kill: () => own().kill(),
    freeze: () => own().signal('SIGSTOP'),
    thaw: () => own().signal('SIGCONT'),
    start: () => own().start(),
  };
}

interface OwnServer {
  readonly url: string;
  start(): Promise<void>;
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

const USER = 'fleetlink';

function prepareServer(t: Test): OwnServer {
  const initdb = findCommand('initdb', process.env.PATH ?? '') as string;
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-postgres-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const as = unprivileged();
  if (as.uid !== undefined) chownSync(folder, as.uid, as.gid ?? as.uid);
  const data = join(folder, 'data');
  execFileSync(
    initdb,
    ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale', 'C.UTF-8', '--no-sync'],
    {
      ...as,
      cwd: folder,
      stdio: 'pipe',
    },
  );
  const port = pickPort();
  const url = `postgres://${USER}@127.0.0.1:${port}/postgres`;
  let child: ChildProcess | null = null;

  async function start(): Promise<void> {
    const settings = [
      `port=${port}`,
      'listen_addresses=127.0.0.1',
      `unix_socket_directories=${folder}`,
      'fsync=off',
    ];
    const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])];
    child = spawn(join(dirname(initdb), 'postgres'), args, {
      ...as,
      cwd: folder,
      stdio: 'ignore',
    });
    await until('PostgreSQL answers', () => run(url, 'select 1'));
  }

  function signal(name: NodeJS.Signals): void {
    if (child?.pid === undefined) throw new Error('The server does not run.');
    // Each of its processes has a session of its own.
    for (const pid of [child.pid, ...childrenOf(child.pid)]) sendSignal(pid, name);
  }

  async function kill(): Promise<void> {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    signal('SIGKILL');
    await ended;
    child = null;
  }

  t.teardown(kill);
  return { url, start, kill, signal };
}

/** Outside of what the system gives out by itself, so that nobody takes it while the server is down. */
function pickPort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}

function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => parentOf(pid) === parent);
}

/** Null: it has ended meanwhile. */
function parentOf(pid: number): number | null {
  try {
    // Behind the name, which stands in brackets and may hold anything.
    const [, parent] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
    return Number(parent);
  } catch {
    return null;
  }
}

function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { uid?: number; gid?: number } {
  if (userInfo().uid !== 0) return {};
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody']).toString()));
  return { uid: uid as number, gid: gid as number };
}

async function run(url: string, text: string): Promise<true> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
    return true;
  } finally {
    await client.end();
  }
}
