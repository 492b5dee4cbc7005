/**
 * A rehearsal: releases are started beside the service, on a free port and a copy of its data, and have to do what a service does.
 * Whatever does not start, does not become ready, lacks a library or breaks the data is found here, where nobody notices.
 *
 *   copy the databases ─▶ the new release ─▶ where it wants that, migrate the copy, and again ─▶ then the one of now: the way back is open
 *
 * Of a database that hosts share the copy is a schema of its own with the same tables, without rows.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Environment } from './environment.ts';
import { HostError, type HostErrorCode } from './host-error.ts';
import type { Layout } from './layout.ts';
import { ask, poll, type Readyz } from './probe.ts';
import { openScratchSchema, type ScratchSchema, STATE_TABLES, type Versions } from './scratch-schema.ts';

export interface Rehearsed {
  readonly release: string;
  /** From the start of the process to its first `ready`. */
  readonly readyMs: number;
  readonly copiedBytes: number;
}

export interface ToRehearse {
  /** The name of this host in its environment. */
  readonly host: string;
  readonly release: string;
  /** What runs now, if it is another one. */
  readonly before: string | null;
  /** Of the service, as they are to be. */
  readonly variables: Environment;
}

const READY_WITHIN_MS = 30_000;
const KEY_WITHIN_MS = 5000;
const STOPPED_WITHIN_MS = 10_000;
const LINES_KEPT = 15;
/** The code of an error: the process ended by itself before it listened. */
const ENDED = 'ended_early' satisfies HostErrorCode;
const DATABASES = ['links.db', 'clicks.db'];

export interface Rehearsal {
  readonly rehearsed: readonly Rehearsed[];
  /** Whether the new release has brought the copy to another schema. */
  readonly isMigrationNeeded: boolean;
  /** Why what runs now did not do on what was migrated; null: it did, or there is nothing. */
  readonly noWayBack: Pick<HostError, 'message' | 'evidence'> | null;
}

/** Throws HostError `ended_early`, `boot_failed` or `unhealthy` of the new release, with the last lines of the log.  */
export async function rehearse(
  layout: Layout,
  { host, release, before, variables }: ToRehearse,
): Promise<Rehearsal> {
  // What was left behind by one whose host or deploy was ended.
  rmSync(layout.shadow, { recursive: true, force: true });
  const folder = join(layout.shadow, randomBytes(6).toString('hex'));
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir, { recursive: true });
  const { DATABASE_URL: databaseUrl } = variables;
  let scratch: ScratchSchema | null = null;
  try {
    const copiedBytes = copyDatabases(layout, { dataDir, with: release });
    const copies: Record<string, string> = { ...variables, DATA_DIR: dataDir };
    if (databaseUrl !== undefined) {
      scratch = await openScratchSchema(databaseUrl, { host, release: layout.release(release) });
      copies.DATABASE_URL = scratch.url;
    }
    const migrating = { ...copies, MIGRATE: 'auto' };
    const readVersions = async (): Promise<string> =>
      JSON.stringify([readCopied(layout, { dataDir, with: release }), await scratch?.readVersions()]);
    const tryOne = async (one: string): Promise<Rehearsed> => {
      const readyMs = await tryOut(layout, { release: one, variables: copies });
      return { release: one, readyMs, copiedBytes };
    };
    const { rehearsed, isMigrationNeeded } = await tryOrMigrate(release, {
      tryOne,
      readVersions,
      migrateAll: () => migrate(layout, release, migrating),
    });
    // Where nothing is migrated, what runs now is its own proof that it can.
    if (before === null || !isMigrationNeeded) return { rehearsed, isMigrationNeeded, noWayBack: null };
    try {
      return { rehearsed: [...rehearsed, await tryOne(before)], isMigrationNeeded, noWayBack: null };
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      const noWayBack = { message: error.message, evidence: error.evidence };
      return { rehearsed, isMigrationNeeded, noWayBack };
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
    // What is left there goes with the next rehearsal; it says nothing of the release.
    await scratch?.drop().catch(() => undefined);
  }
}

/** Mostly there is nothing to migrate: then the release starts at once. One that ends instead may have missed a migration. */
async function tryOrMigrate(
  release: string,
  given: {
    readonly tryOne: (release: string) => Promise<Rehearsed>;
    readonly readVersions: () => Promise<string>;
    readonly migrateAll: () => Promise<void>;
  },
): Promise<{ rehearsed: Rehearsed[]; isMigrationNeeded: boolean }> {
  try {
    return { rehearsed: [await given.tryOne(release)], isMigrationNeeded: false };
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== ENDED) throw error;
    const before = await given.readVersions();
    await given.migrateAll();
    if ((await given.readVersions()) === before) throw error;
    return { rehearsed: [await given.tryOne(release)], isMigrationNeeded: true };
  }
}

/** Each is one moment of its database, while it is written to; with the SQLite of the release, which has to load for it. */
function copyDatabases(
  layout: Layout,
  { dataDir, with: release }: { dataDir: string; with: string },
): number {
  const require = createRequire(join(layout.release(release), 'package.json'));
  let bytes = 0;
  for (const name of DATABASES) {
    const path = join(layout.data, name);
    if (!existsSync(path)) continue;
    const Database = require('better-sqlite3');
    const db = new Database(path, { timeout: 10_000 });
    try {
      db.prepare('vacuum into ?').run(join(dataDir, name));
      bytes += db.pragma('page_count', { simple: true }) * db.pragma('page_size', { simple: true });
    } finally {
      db.close();
    }
  }
  return bytes;
}

/** Which schema the copies are of. */
function readCopied(
  layout: Layout,
  { dataDir, with: release }: { dataDir: string; with: string },
): (Versions | null)[] {
  const Database = createRequire(join(layout.release(release), 'package.json'))('better-sqlite3');
  return DATABASES.map((name) => {
    const path = join(dataDir, name);
    if (!existsSync(path)) return null;
    const db = new Database(path, { readonly: true });
    try {
      const tables = db.prepare('select name from sqlite_schema').pluck().all() as string[];
      const read = (table: string): number => db.prepare(`select version from ${table}`).pluck().get();
      return Object.fromEntries(
        STATE_TABLES.filter((table) => tables.includes(table)).map((table) => [table, read(table)]),
      );
    } finally {
      db.close();
    }
  });
}

/** Brings the schema of databases to what a release needs. Throws HostError `boot_failed` with what it said. */
export async function migrate(layout: Layout, release: string, variables: Environment): Promise<void> {
  const child = startProgram(layout, { release, args: ['--migrate'], variables });
  const code = await child.exit;
  if (code !== 0) throw failed(`The migration of ${release} ended with ${code}.`, child.lines());
}

async function tryOut(
  layout: Layout,
  { release, variables }: { release: string; variables: Environment },
): Promise<number> {
  // Its own where there is one: whether that will do is found here too.
  const adminKey = variables.ADMIN_API_KEY ?? randomBytes(24).toString('hex');
  const startedAt = performance.now();
  const child = startProgram(layout, {
    release,
    args: [],
    variables: {
      ...variables,
      HOST: '127.0.0.1',
      PORT: '0',
      MANAGEMENT_HOST: '127.0.0.1',
      MANAGEMENT_PORT: '0',
      MIGRATE: 'check',
      LOG_LEVEL: 'info',
      RELEASE_ID: release,
      ADMIN_API_KEY: adminKey,
      DRAIN_MS: '0',
    },
  });
  try {
    const ports = await findPorts(release, child);
    const readyMs = await untilReady(release, { child, managementPort: ports.management });
    await useIt(release, { child, port: ports.public, adminKey });
    await stop(release, child);
    return Math.round(readyMs - startedAt);
  } finally {
    child.process.kill('SIGKILL');
    await child.exit;
  }
}

async function findPorts(release: string, child: Program): Promise<{ public: number; management: number }> {
  const found = await poll(
    async () => {
      if (child.process.exitCode !== null || child.process.signalCode !== null) {
        const how = child.process.exitCode ?? child.process.signalCode;
        const message = `${release} ended (${how}) before it listened.`;
        throw new HostError(ENDED, message, tellingLines(child.lines()));
      }
      return findListening(child.lines());
    },
    { withinMs: READY_WITHIN_MS, everyMs: 10 },
  );
  if (found === null)
    throw failed(`${release} did not listen within ${READY_WITHIN_MS / 1000} s.`, child.lines());
  return found;
}

function findListening(lines: readonly string[]): { public: number; management: number } | null {
  const line = lines.find((text) => text.includes('"msg":"listening"'));
  if (line === undefined) return null;
  const { port, management_port: management } = JSON.parse(line) as { port: number; management_port: number };
  return { public: port, management };
}

/** Resolves with when that was. */
async function untilReady(
  release: string,
  { child, managementPort }: { child: Program; managementPort: number },
): Promise<number> {
  let last: Readyz | null = null;
  const ready = await poll(
    async () => {
      last = await ask(`http://127.0.0.1:${managementPort}/readyz`)
        .then((answer) => answer.json() as Promise<Readyz>)
        .catch(() => null);
      return last?.status === 'ready' && last.release === release ? performance.now() : null;
    },
    { withinMs: READY_WITHIN_MS },
  );
  if (ready === null) {
    throw new HostError(
      'unhealthy',
      `${release} was not ready within ${READY_WITHIN_MS / 1000} s; /readyz last said ${JSON.stringify(last)}.`,
      tellingLines(child.lines()),
    );
  }
  return ready;
}

async function useIt(
  release: string,
  { child, port, adminKey }: { child: Program; port: number; adminKey: string },
): Promise<void> {
  const origin = `http://127.0.0.1:${port}`;
  const target = 'https://example.com/rehearsal';
  const make = (): Promise<Response> =>
    ask(`${origin}/api/v1/links`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: target }),
    });
  // A service is ready for redirects a moment before it knows a key that is new.
  const made = await poll(
    async () => {
      const answer = await make();
      return answer.status === 401 ? null : answer;
    },
    { withinMs: KEY_WITHIN_MS },
  );
  const { key } = ((await made?.json()) ?? {}) as { key?: string };
  const followed = key === undefined ? null : await ask(`${origin}/${key}`);
  if (made?.status !== 201 || followed?.status !== 302 || followed.headers.get('location') !== target) {
    throw new HostError(
      'unhealthy',
      `${release} made a link with status ${made?.status ?? 401} and followed it with ${followed?.status ?? 'none'}.`,
      tellingLines(child.lines()),
    );
  }
}

async function stop(release: string, child: Program): Promise<void> {
  child.process.kill('SIGINT');
  const timer = setTimeout(() => child.process.kill('SIGKILL'), STOPPED_WITHIN_MS);
  const code = await child.exit;
  clearTimeout(timer);
  if (code !== 0)
    throw failed(`${release} did not stop cleanly within ${STOPPED_WITHIN_MS / 1000} s.`, child.lines());
}

interface Program {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  lines(): string[];
}

const OUTPUT_MAX = 1024 * 1024;

/** With the Node of the host, and nothing of our own environment. */
function startProgram(
  layout: Layout,
  { release, args, variables }: { release: string; args: readonly string[]; variables: Environment },
): Program {
  const folder = layout.release(release);
  const child = spawn(layout.node, ['--enable-source-maps', join(folder, 'dist/main.js'), ...args], {
    cwd: folder,
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: layout.root, NODE_ENV: 'production', ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_MAX);
    });
  }
  const exit = Promise.race([
    once(child, 'close').then(([code]) => code as number | null),
    once(child, 'error').then(([error]) => {
      output += `${String(error)}\n`;
      return null;
    }),
  ]);
  return { process: child, exit, lines: () => output.split('\n').filter((line) => line !== '') };
}

function failed(message: string, lines: readonly string[]): HostError {
  return new HostError('boot_failed', message, tellingLines(lines));
}

/** The last ones, and before them the one that names the error, where a stack of another language came after it. */
function tellingLines(lines: readonly string[]): string[] {
  const last = lines.slice(-LINES_KEPT);
  const named = lines.slice(0, -LINES_KEPT).findLast((line) => /\bFATAL ERROR\b|^\w*Error: /.test(line));
  return named === undefined ? last : [named, ...last];
}
