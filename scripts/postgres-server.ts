// A PostgreSQL of our own for a while: for the tests, and for whoever wants to see a fleet on one machine.
import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { findCommand } from './requirements.ts';

export interface PostgresServer {
  /** Of a database that is always there, as somebody who may do everything. */
  readonly url: string;
  /** Also again, on what is there. */
  start(): Promise<void>;
  /** Ends it at once, as a power cut does to everybody who is connected. */
  kill(): Promise<void>;
  /** To all of its processes. */
  signal(signal: NodeJS.Signals): void;
  /** Makes a standby the one that is written to. */
  promote(): Promise<void>;
  /** Takes its files away. */
  remove(): void;
}

export interface PostgresOptions {
  /** Where it listens. */
  readonly address?: string;
  /** Who may connect beside this machine itself, as CIDR. */
  readonly allowed?: string;
  /** What its commands begin with, such as those of a network namespace. */
  readonly enter?: readonly string[];
  /** Settings, as `name=value`. */
  readonly settings?: readonly string[];
  /** The server that it follows: it begins as its copy. */
  readonly standbyOf?: string;
  /** Ctrl-C does not reach it: who started it ends it, after those who need it. */
  readonly isApart?: boolean;
}

const USER = 'fleetlink';
const STARTED_WITHIN_MS = 20_000;

/** On a free port of the loopback interface, for whoever may connect; it does not run yet. Throws where there is none. */
export async function preparePostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { address = '127.0.0.1', allowed, enter = [], settings = [], standbyOf, isApart = false } = options;
  // Its neighbours are needed too, and a link to it may stand alone.
  const programs = dirname(realpathSync(findInitdb()));
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-postgres-'));
  const data = join(folder, 'data');
  const as = unprivileged(folder);
  /** The command that runs a program of PostgreSQL. */
  const toRun = (program: string, args: readonly string[]): [string, string[]] => {
    const [command, ...rest] = [...enter, ...as, join(programs, program), ...args] as [string, ...string[]];
    return [command, rest];
  };
  const startProgram = (command: string, args: readonly string[]) =>
    spawn(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], detached: isApart });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const makeData = async (): Promise<void> => {
    const [program, args] = standbyOf === undefined ? initdbOf(data) : copyOf(standbyOf, data);
    await finish(program, startProgram(...toRun(program, args)));
    if (standbyOf === undefined && allowed !== undefined) allow(data, allowed);
  };
  await makeData().catch((error) => {
    remove();
    throw error;
  });
  const port = await pickPort();
  const url = `postgres://${USER}@${address}:${port}/postgres`;
  let child: ChildProcess | null = null;

  async function start(): Promise<void> {
    const all = [
      `port=${port}`,
      `listen_addresses=${address}`,
      `unix_socket_directories=${folder}`,
      'fsync=off',
      ...settings,
    ];
    const args = ['-D', data, ...all.flatMap((setting) => ['-c', setting])];
    const started = spawn(...toRun('postgres', args), { cwd: folder, stdio: 'ignore', detached: isApart });
    child = started;
    await waitUntilAnswering(url, started);
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

  return {
    url,
    start,
    kill,
    signal,
    promote: () => ask(url, 'select pg_promote()'),
    remove,
  };
}

/** Throws what it complains about. */
async function finish(program: string, child: ChildProcessByStdio<null, null, Readable>): Promise<void> {
  const [complaint, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  if (code !== 0) throw new Error(`${program} ended with ${code ?? signal}: ${complaint}`);
}

type Command = [program: string, args: readonly string[]];

function initdbOf(data: string): Command {
  const args = ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  return ['initdb', args];
}

function copyOf(url: string, data: string): Command {
  return ['pg_basebackup', ['-D', data, '-d', url, '-R', '--checkpoint=fast', '--no-sync']];
}

function allow(data: string, cidr: string): void {
  const lines = ['all', 'replication'].map((database) => `host ${database} all ${cidr} trust\n`);
  appendFileSync(join(data, 'pg_hba.conf'), lines.join(''));
}

/** Outside of what the system gives out by itself, so that nobody takes it while the server is down. */
async function pickPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const probe = createServer().listen(port, '127.0.0.1');
    const isFree = await once(probe, 'listening').then(
      () => true,
      () => false,
    );
    probe.close();
    if (isFree) return port;
  }
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

/** PostgreSQL refuses to run as root: what its commands begin with, and a folder that is theirs. */
function unprivileged(folder: string): string[] {
  if (userInfo().uid !== 0) return [];
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody']).toString())) as [
    number,
    number,
  ];
  chownSync(folder, uid, gid);
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'];
}

async function waitUntilAnswering(url: string, server: ChildProcess): Promise<void> {
  const deadline = Date.now() + STARTED_WITHIN_MS;
  for (;;) {
    try {
      await ask(url, 'select 1');
      return;
    } catch (error) {
      if (Date.now() > deadline || server.exitCode !== null || server.signalCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** On a connection of its own. */
export async function ask(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

function findInitdb(): string {
  const found = findCommand('initdb', process.env.PATH ?? '');
  if (found === null) throw new Error('There is no PostgreSQL here: install the Debian package postgresql.');
  return found;
}
