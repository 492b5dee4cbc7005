import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import { SCHEMA_VERSION } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import type { OpenDatabase } from '../../app/store/sqlite/open-database.ts';
import type { Store } from '../../app/store/store.ts';
import { createAs } from '../contract/store.ts';
import { openLinksDb, openStore as openWholeStore } from '../support/store.ts';

const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });

async function open(t: Test, dataDir: string, migrate: 'auto' | 'check' = 'auto'): Promise<OpenDatabase> {
  const db = await openLinksDb({ dataDir, migrate, dialect });
  t.teardown(() => db.close());
  return db;
}

async function openStore(t: Test, dataDir: string) {
  const store = await openWholeStore({ dataDir });
  t.teardown(() => store.close());
  return store;
}

/** A folder with a database of some hundred links, closed. */
async function makeFilled(t: Test): Promise<string> {
  const dataDir = t.testdir();
  const store = await openStore(t, dataDir);
  await store.links.apply([
    Array.from({ length: 400 }, (_, n) => createAs(`k${n}`, { title: 'x'.repeat(200) })),
  ]);
  await store.close();
  return dataDir;
}

t.test('a new folder gets a database that survives a power cut, readable by others meanwhile', async (t) => {
  const dataDir = join(t.testdir(), 'deep', 'er');
  const db = await open(t, dataDir);
  const { readerConnection } = db;
  t.equal(readerConnection.readonly, true);
  t.equal(readerConnection.pragma('busy_timeout', { simple: true }), 0, 'waiting is not done inside SQLite');
  t.equal(readerConnection.pragma('journal_mode', { simple: true }), 'wal');
  await t.resolves(open(t, dataDir, 'check'));
});

t.test('closing leaves one file', async (t) => {
  const dataDir = await makeFilled(t);
  t.throws(() => statSync(join(dataDir, 'links.db-wal')), { code: 'ENOENT' });
  t.ok(statSync(join(dataDir, 'links.db')).size > 100_000);
});

t.test('MIGRATE=check makes no database', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'links.db');
  await t.rejects(open(t, dataDir, 'check'), {
    name: 'StartError',
    message: `${path} does not exist, and MIGRATE=check forbids making it. Migrate first, or start with MIGRATE=auto.`,
  });
  t.throws(() => statSync(path), { code: 'ENOENT' });
});

async function failToOpen(dataDir: string): Promise<string> {
  try {
    (await openLinksDb({ dataDir, migrate: 'auto', dialect })).close();
    return 'opened';
  } catch (error) {
    return `${error instanceof Error ? error.name : ''}: ${String((error as Error).message)}`;
  }
}

t.test('a file that is no database is named and left as it was', async (t) => {
  const dataDir = t.testdir({ 'links.db': 'This is a letter to my grandmother. '.repeat(100) });
  const path = join(dataDir, 'links.db');
  t.equal(
    await failToOpen(dataDir),
    `StartError: ${path} is not a SQLite database. Restore a backup, or move the file away to start empty. (file is not a database)`,
  );
  t.equal(statSync(path).size, 3600);
});

t.test('a database that was cut short, or overwritten inside, is told to be damaged', async (t) => {
  const source = await makeFilled(t);
  const size = statSync(join(source, 'links.db')).size;
  const damages: Readonly<Record<string, (path: string) => void>> = {
    'cut to half': (path) => truncateSync(path, Math.floor(size / 2 / 4096) * 4096),
    'cut to its first page': (path) => truncateSync(path, 4096),
    'overwritten behind the first page': (path) => {
      const file = openSync(path, 'r+');
      writeSync(file, Buffer.alloc(size - 4096, 0x5a), 0, size - 4096, 4096);
      closeSync(file);
    },
  };
  let index = 0;
  for (const [name, damage] of Object.entries(damages)) {
    const dataDir = join(source, String(index++));
    await (await openStore(t, dataDir)).close();
    const path = join(dataDir, 'links.db');
    copyFileSync(join(source, 'links.db'), path);
    damage(path);
    const said = await failToOpen(dataDir);
    t.match(
      said,
      /^StartError: .*links\.db is damaged\. Restore a backup, or try `sqlite3 links\.db \.recover`\. \(.+\)$/,
      name,
    );
  }
});

t.test('a schema that needs later code is refused in one sentence', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'links.db');
  const connection = new Database(path);
  connection.exec('update schema_state set version = 9, readable_from = 8');
  connection.close();
  t.equal(
    await failToOpen(dataDir),
    `StartError: ${path} has schema 9, which needs a release that knows schema 8 or later; this one knows ${SCHEMA_VERSION}. ` +
      'Start a newer release, or restore a backup made by this one.',
  );
});

t.test('a schema that later code expanded is opened', async (t) => {
  const dataDir = await makeFilled(t);
  const connection = new Database(join(dataDir, 'links.db'));
  connection.exec('update schema_state set version = 9');
  connection.close();
  await t.resolves(open(t, dataDir));
});

t.test('a database of somebody else is refused, with what SQLite says', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'links.db');
  const connection = new Database(path);
  connection.exec(
    'create table schema_state (one text); insert into schema_state values (1); create table links (x)',
  );
  connection.close();
  t.match(await failToOpen(dataDir), /^StartError: .*links\.db cannot be opened\. \(.+\)$/);
});

t.test('a DATA_DIR that is a file, or lies in one, is told', async (t) => {
  const folder = t.testdir({ file: 'x' });
  t.match(
    await failToOpen(join(folder, 'file')),
    /links\.db cannot be made: DATA_DIR is a file\. Point DATA_DIR to a folder\. \(EEXIST: /,
  );
  t.match(
    await failToOpen(join(folder, 'file', 'data')),
    /links\.db cannot be made: part of DATA_DIR is a file\. Point DATA_DIR to a folder\. \(ENOTDIR: /,
  );
});

t.test('a folder in the place of the file cannot be opened', async (t) => {
  const dataDir = t.testdir({ 'links.db': {} });
  t.match(
    await failToOpen(dataDir),
    /links\.db cannot be opened\. Give the service the right to write to DATA_DIR\./,
  );
});

t.test('a file that another process holds for more than 5 seconds is told to be locked', async (t) => {
  const dataDir = await makeFilled(t);
  const connection = new Database(join(dataDir, 'links.db'));
  t.teardown(() => connection.close());
  connection.pragma('locking_mode = exclusive');
  connection.exec('begin exclusive');
  t.match(
    await failToOpen(dataDir),
    /links\.db is locked by another process for more than 5 seconds\. Stop that process and start again\./,
  );
});

/** Whoever reads next finds that another connection wrote, and keeps no page in memory from before. */
function forgetPages({ links }: Store): Promise<unknown> {
  return links.takeNumbers(1);
}

t.test('reads of a damaged file are answered with 503, and the probe fails', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'links.db');
  const size = statSync(path).size;
  const store = await openStore(t, dataDir);
  await forgetPages(store);
  writeFileSync(path, Buffer.alloc(size, 0x5a));
  const damaged = { code: 'unavailable', message: /damaged/ };
  await t.rejects(store.links.findLink({ key: 'k1' }), damaged);
  await t.rejects(
    store.links.listLinks({ q: null, tag: null, status: 'all', sort: 'key', limit: 1, after: null }),
    damaged,
  );
  t.throws(() => store.links.lookup('k1'), damaged);
  await t.rejects(store.apiKeys.findKeyByHash('x'), damaged);
  await t.rejects(store.drain.readDrainUntilMs(), damaged);
  await t.rejects(store.probe());
});

t.test('the probe of a store that is well does not fail', async (t) => {
  const store = await openStore(t, t.testdir());
  await t.resolves(store.probe());
});

t.test(
  'once the files are deleted or replaced the probe fails and writes are refused, until they are back',
  async (t) => {
    const dataDir = t.testdir();
    const store = await openStore(t, dataDir);
    const write = () => store.links.takeNumbers(1);
    const first = await write();
    for (const name of ['links.db', 'links.db-wal']) {
      const path = join(dataDir, name);
      const gone = {
        message: `${path} was deleted or replaced while it was in use. Put it back, or start again on what is there.`,
      };
      const refusal = {
        code: 'unavailable',
        message:
          'The database was deleted or replaced while it was in use. Links still redirect; to make new ones put links.db ' +
          'and links.db-wal back, or restart the service on what is there.',
        retryAfterSeconds: 1,
        cause: gone,
      };
      const isRefused = async () => {
        await t.rejects(store.probe(), gone);
        await t.rejects(write(), refusal);
      };
      renameSync(path, `${path}.away`);
      await isRefused();
      copyFileSync(`${path}.away`, path);
      await isRefused();
      rmSync(path);
      symlinkSync(name, path);
      await isRefused();
      renameSync(`${path}.away`, path);
      await t.resolves(store.probe());
      await t.resolves(write());
    }
    t.equal(await write(), first + 3, 'what was refused is not there after all');
  },
);

t.test('a folder that is made is for its owner alone', async (t) => {
  const dataDir = join(t.testdir(), 'made');
  await openStore(t, dataDir);
  t.equal(statSync(dataDir).mode & 0o777, 0o700);
});

t.test('the probe fails once the schema is too new for this code, not before', async (t) => {
  const dataDir = await makeFilled(t);
  const store = await openStore(t, dataDir);
  const newer = new Database(join(dataDir, 'links.db'));
  t.teardown(() => newer.close());
  newer.exec('update schema_state set version = 9, readable_from = 1');
  await t.resolves(store.probe());
  await nextTurn();
  newer.exec('update schema_state set readable_from = 9');
  await t.rejects(store.probe(), {
    message: `links.db now needs a release that knows schema 9; this one knows ${SCHEMA_VERSION}.`,
  });
});

/** Overwrites one page of the closed file: the root of a b-tree. */
function damageRoot(dataDir: string, name: string): void {
  const path = join(dataDir, 'links.db');
  const connection = new Database(path);
  const root = connection.prepare('select rootpage from sqlite_schema where name = ?').pluck().get(name);
  const pageSize = Number(connection.pragma('page_size', { simple: true }));
  connection.close();
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(pageSize, 0x5a), 0, pageSize, (Number(root) - 1) * pageSize);
  closeSync(file);
}

t.test('each index that is damaged stops the start, and the owner of a key fails the probe', async (t) => {
  const source = await makeFilled(t);
  const connection = new Database(join(source, 'links.db'), { readonly: true });
  const indexes = connection.prepare("select name from sqlite_schema where type = 'index'").pluck().all();
  connection.close();
  t.ok(indexes.includes('links_key_owner'));
  for (const name of indexes) {
    const dataDir = join(source, String(name));
    mkdirSync(dataDir);
    copyFileSync(join(source, 'links.db'), join(dataDir, 'links.db'));
    damageRoot(dataDir, String(name));
    t.match(await failToOpen(dataDir), /^StartError: .*links\.db is damaged\./, String(name));
  }
  const store = await openStore(t, source);
  await forgetPages(store);
  damageRoot(source, 'links_key_owner');
  await t.rejects(store.probe(), { code: 'unavailable', message: /damaged/ });
});
