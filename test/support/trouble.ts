/** What the tests of bad days share: a start that must fail, a folder with something in it, and a look at what is left. */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Test } from 'tap';
import { type ServerOptions, spawnServer, startServer } from './server-process.ts';
import { ask, makeFolder } from './service.ts';

/** Starts a service that must refuse; resolves with its one sentence. */
export async function readRefusal(t: Test, options: ServerOptions): Promise<string> {
  const server = spawnServer(t, options);
  t.same(await server.exit, { code: 1, signal: null });
  const log = server.log();
  t.equal(log.length, 1, 'it says one thing');
  t.same(
    Object.keys(log[0] ?? {}).filter((name) => name !== 'release'),
    ['level', 'time', 'pid', 'msg'],
    'and no stack',
  );
  t.equal(log[0]?.level, 'fatal');
  t.equal(server.stderr(), '');
  return String(log[0]?.msg);
}

/** A DATA_DIR with a link in it, whose service has ended. */
export async function makeUsedFolder(t: Test): Promise<string> {
  const dataDir = makeFolder(t);
  await useFolder(t, dataDir);
  return dataDir;
}

export async function useFolder(t: Test, dataDir: string): Promise<void> {
  const server = await startServer(t, { dataDir });
  await ask('POST', `${server.url}/shorten`, { body: { url: 'https://example.com/' } });
  await server.stop();
}

/** The first column of each row in links.db. */
export function query(dataDir: string, sql: string): unknown[] {
  const db = new Database(join(dataDir, 'links.db'), { readonly: true });
  try {
    return db.prepare(sql).pluck().all();
  } finally {
    db.close();
  }
}
