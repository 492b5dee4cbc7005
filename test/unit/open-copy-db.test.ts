// copy.db is a cache: whatever happens to the file costs no start and no redirect.
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import type { KeyState } from '../../app/fleet/link-copy.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { type CopyDb, openCopyDb } from '../../app/store/sqlite/open-copy-db.ts';

const OF = { database: 1, begun: 1 };
const URL = 'https://example.com/1';

function stateOf(key: string, asOf: number): KeyState {
  const facts = {
    id: 1,
    url: URL,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
    maxClicksSeq: 0,
  } as const;
  return { key, asOf, of: OF, facts };
}

async function open(t: Test, dataDir: string, isAnswering = true) {
  const removed: unknown[] = [];
  const database = { answers: isAnswering };
  const db = await openCopyDb({
    path: join(dataDir, 'copy.db'),
    dialect: createSqliteDialect({ clock: systemClock, random: Math.random }),
    clock: systemClock,
    random: Math.random,
    canBeFilled: () => database.answers,
    onRemoved: (error) => removed.push(error),
  });
  t.teardown(db.close);
  return { db, removed, database };
}

/** With the key `a`, followed to 1. */
async function fill({ copy }: CopyDb, count = 1): Promise<void> {
  await copy.begin({ of: OF, last: 1 }, await copy.readPlace());
  const many = Array.from({ length: count - 1 }, (_, index) => stateOf(`k${index}`, 1));
  await copy.write([stateOf('a', 1), ...many]);
}

async function makeFilled(t: Test): Promise<string> {
  const dataDir = t.testdir();
  const { db } = await open(t, dataDir);
  await fill(db);
  await db.close();
  return dataDir;
}

t.test('a copy outlives its process', async (t) => {
  const { db, removed } = await open(t, await makeFilled(t));
  t.match(db.copy.lookup('a'), { url: URL });
  t.match(await db.copy.readPlace(), { position: 1 });
  db.probe();
  await db.repair();
  t.equal(db.failure(), null);
  t.same(removed, []);
});

const USELESS: Readonly<Record<string, (path: string) => void>> = {
  'no database': (path) => writeFileSync(path, 'garbage '.repeat(1000)),
  'of a later schema': (path) => execute(path, 'update schema_state set version = 9, readable_from = 9'),
  'without a table': (path) => execute(path, 'drop table links'),
  'with other columns': (path) => execute(path, 'alter table links rename column as_of to since'),
};

function execute(path: string, text: string): void {
  const db = new Database(path);
  db.exec(text);
  db.close();
}

for (const [name, damage] of Object.entries(USELESS)) {
  t.test(`a file that is ${name} is made anew at the start`, async (t) => {
    const dataDir = await makeFilled(t);
    damage(join(dataDir, 'copy.db'));
    const { db, removed } = await open(t, dataDir);
    t.equal(removed.length, 1);
    t.equal(db.failure(), null);
    t.equal(db.copy.lookup('a'), null);
    t.equal(await db.copy.readPlace(), null);
    await fill(db);
    t.match(db.copy.lookup('a'), { url: URL });
  });
}

t.test('a file of a later schema is left alone until somebody can fill a new one', async (t) => {
  const dataDir = await makeFilled(t);
  USELESS['of a later schema']?.(join(dataDir, 'copy.db'));
  const { db, removed, database } = await open(t, dataDir, false);
  await db.repair();
  t.match(db.failure(), { message: /schema/ });
  t.same(removed, []);
  database.answers = true;
  await db.repair();
  t.equal(removed.length, 1);
  t.equal(db.failure(), null);
});

t.test('a file that cannot be opened stops no start, and is opened when it can', async (t) => {
  const dataDir = t.testdir({ 'copy.db': {} });
  const { db, removed } = await open(t, dataDir);
  const unreadable = { code: 'unavailable' };
  t.match(db.failure(), { message: /copy\.db cannot be opened/ });
  t.equal(db.copy.lookup('a'), null);
  t.throws(() => db.probe(), unreadable);
  await t.rejects(db.copy.readPlace(), unreadable);
  await t.rejects(db.copy.write([]), unreadable);
  await t.rejects(db.copy.begin({ of: OF, last: 1 }, null), unreadable);
  await t.rejects(db.drain.writeDrainUntilMs(5), unreadable);
  t.equal(await db.drain.readDrainUntilMs(), null);
  t.same(db.figures(), { remembered: 0, read: 0 });
  await db.repair();
  t.not(db.failure(), null);
  rmSync(join(dataDir, 'copy.db'), { recursive: true });
  await db.repair();
  t.equal(db.failure(), null);
  await fill(db);
  t.ok(db.copy.lookup('a'));
  t.same(removed, []);
});

t.test('one that never opened is closed', async (t) => {
  const { db } = await open(t, t.testdir({ 'copy.db': {} }));
  await t.resolves(db.close());
});

t.test('a file that is deleted or replaced while it is used is opened anew', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'copy.db');
  copyFileSync(path, `${path}.backup`);
  const { db, removed, database } = await open(t, dataDir);
  t.ok(db.copy.lookup('a'));
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix);
  await t.rejects(db.drain.writeDrainUntilMs(5), { code: 'unavailable', message: /Try again in a moment/ });
  database.answers = false;
  await db.repair();
  t.match(db.failure(), { message: /was deleted or replaced/ });
  t.ok(db.copy.lookup('a'), 'as long as nobody can fill a new one the old one answers');
  db.probe();
  database.answers = true;
  await db.repair();
  t.equal(db.failure(), null);
  t.equal(db.copy.lookup('a'), null);
  t.ok(statSync(path).isFile());
  rmSync(path);
  copyFileSync(`${path}.backup`, path);
  await db.repair();
  t.match(db.copy.lookup('a'), { url: URL });
  t.same(db.figures(), { remembered: 1, read: 2 }, 'what was counted before stays counted');
  t.same(removed, []);
});

t.test('a file that is overwritten while it is used is made anew, once somebody can fill it', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'copy.db');
  const { db, removed, database } = await open(t, dataDir);
  writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage '));
  database.answers = false;
  await db.repair();
  t.match(db.failure(), { code: 'SQLITE_NOTADB' });
  t.same(removed, []);
  database.answers = true;
  await db.repair();
  t.match(removed, [{ code: 'SQLITE_NOTADB' }]);
  t.equal(db.failure(), null);
  await fill(db);
  t.ok(db.copy.lookup('a'));
});

/** Overwrites the pages of a table between both ends, which opening reads. */
function damageInside(path: string, table: string): void {
  const db = new Database(path);
  const pages = db
    .prepare<[string], number>("select pageno from dbstat where name = ? and pagetype = 'leaf' order by path")
    .pluck()
    .all(table);
  const pageSize = Number(db.pragma('page_size', { simple: true }));
  db.close();
  const file = openSync(path, 'r+');
  for (const page of pages.slice(1, -1)) {
    writeSync(file, Buffer.alloc(pageSize, 0x5a), 0, pageSize, (page - 1) * pageSize);
  }
  closeSync(file);
}

t.test('a key on a damaged page is one that is not known, and the file is made anew', async (t) => {
  const dataDir = t.testdir();
  const filled = await open(t, dataDir);
  await fill(filled.db, 3000);
  await filled.db.close();
  damageInside(join(dataDir, 'copy.db'), 'links');
  const { db, removed } = await open(t, dataDir);
  t.equal(db.failure(), null, 'opening has not seen it');
  const unknown = Array.from({ length: 2999 }, (_, index) => `k${index}`).filter(
    (key) => db.copy.lookup(key) === null,
  );
  t.ok(unknown.length > 100, `${unknown.length} are not known`);
  t.match(db.failure(), { cause: { code: 'SQLITE_CORRUPT' } });
  await db.repair();
  t.equal(removed.length, 1);
  t.equal(db.failure(), null);
});

t.test('damage that a write meets is repaired too, and what passes is not called damage', async (t) => {
  const dataDir = t.testdir();
  const filled = await open(t, dataDir);
  await fill(filled.db, 3000);
  await filled.db.close();
  damageInside(join(dataDir, 'copy.db'), 'links');
  const { db, removed } = await open(t, dataDir);
  const other = new Database(join(dataDir, 'copy.db'));
  t.teardown(() => other.close());
  other.exec('alter table sequences rename to gone');
  await t.rejects(db.copy.write([stateOf('a', 2)]), { message: /no such table/ });
  t.equal(db.failure(), null);
  other.exec('alter table gone rename to sequences');
  const all = Array.from({ length: 2999 }, (_, index) => stateOf(`k${index}`, 2));
  await t.rejects(db.copy.write(all), { code: 'unavailable', message: /damaged/ });
  t.not(db.failure(), null);
  await db.repair();
  t.equal(removed.length, 1);
});

t.test('of two processes that find a file damaged the second one uses what the first one made', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'copy.db');
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage '));
  await one.db.repair();
  await fill(one.db);
  await other.db.repair();
  t.same([one.removed.length, other.removed.length], [1, 0]);
  t.match(other.db.copy.lookup('a'), { url: URL });
});

t.test('a host that drains goes on with it in a new file', async (t) => {
  const dataDir = await makeFilled(t);
  const path = join(dataDir, 'copy.db');
  const { db } = await open(t, dataDir);
  await db.drain.writeDrainUntilMs(5);
  t.equal(await db.drain.readDrainUntilMs(), 5);
  writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage '));
  await nextTurn();
  t.equal(await db.drain.readDrainUntilMs(), 5);
  await db.repair();
  t.equal(await db.drain.readDrainUntilMs(), 5);
  const { db: next } = await open(t, dataDir);
  t.equal(await next.drain.readDrainUntilMs(), 5);
  await next.drain.writeDrainUntilMs(null);
  await db.repair();
  t.equal(await db.drain.readDrainUntilMs(), null);
});

t.test('a folder that is gone is one that cannot be opened', async (t) => {
  const dataDir = join(t.testdir(), 'made');
  mkdirSync(dataDir);
  const { db } = await open(t, dataDir);
  rmSync(dataDir, { recursive: true });
  writeFileSync(dataDir, 'a file');
  await db.repair();
  t.match(db.failure(), { message: /DATA_DIR/ });
  t.equal(db.copy.lookup('a'), null);
});
