// clicks.db in every state in which it can be found, at the start and while the service runs.

import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { CLICK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import type { MissingClicks } from '../../app/store/sqlite/open-clicks-db.ts';
import {
  clickOn,
  codeOf,
  entriesOn,
  lockClicks,
  openClicks,
  queryClicks,
  readClicks,
  type TestClicksDb,
} from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { openStore } from '../support/store.ts';

const linksIn = (dataDir: string) => readClicks(dataDir).map(({ link_id }) => link_id);
const asidesIn = (dataDir: string) => readdirSync(dataDir).filter((name) => name.includes('damaged'));

/** Appends, and repairs as the click writer does until it works; resolves with the codes or sentences of what failed. */
async function appendUntilStored({ journal, clock }: TestClicksDb, linkId: number): Promise<string[]> {
  const failures: string[] = [];
  for (let tries = 0; tries < 20; tries++) {
    try {
      if (failures.length > 0) await journal.repair(lastError);
      const answer = journal.append(entriesOn(linkId));
      if (answer === null) return failures;
      failures.push(String(answer));
    } catch (error) {
      lastError = error;
      failures.push(String(codeOf(error) ?? (error as Error).message.replace(/^\S*\//, '')));
    }
    await clock.advance(100);
  }
  throw new Error(`It was not repaired: ${failures.join(', ')}`, { cause: lastError });
}
let lastError: unknown;

/** A folder with a clicks.db of three clicks and some thousand quotas, closed. */
async function makeUsed(t: Test): Promise<string> {
  const dataDir = t.testdir();
  const { journal, close } = await openClicks(t, { dataDir });
  journal.append(entriesOn(1, 2, 3));
  close();
  const db = new Database(join(dataDir, 'clicks.db'));
  const insert = db.prepare('insert into quotas (link_id, used) values (?, 0)');
  db.transaction(() => {
    for (let n = 0; n < 5000; n++) insert.run(n);
  })();
  db.close();
  return dataDir;
}

t.test('a first start makes the file, also where links.db may not be migrated', async (t) => {
  for (const migrate of ['auto', 'check'] as const) {
    const dataDir = t.testdir();
    const clicks = await openClicks(t, { dataDir, migrate, readSeq: () => 7 });
    t.equal(clicks.journal.failure(), null);
    t.same(await appendUntilStored(clicks, 1), []);
    t.same(queryClicks(dataDir, 'select name, value from click_state'), [{ name: 'made_at_seq', value: 7 }]);
    await openClicks(t, { dataDir, migrate, readSeq: () => 8 });
    t.same(queryClicks(dataDir, 'select value from click_state'), [{ value: 7 }], 'it says when it was made');
  }
});

t.test('a file that nobody had time to fill is one that is not there', async (t) => {
  const empty = t.testdir({ 'clicks.db': '' });
  const clicks = await openClicks(t, { dataDir: empty, migrate: 'check' });
  t.same(await appendUntilStored(clicks, 1), []);
});

t.test('a schema that this code does not know stops the start, one that it can read does not', async (t) => {
  const dataDir = await makeUsed(t);
  const path = join(dataDir, 'clicks.db');
  const write = (version: number, readableFrom: number) => {
    const db = new Database(path);
    db.prepare('update click_schema_state set version = ?, readable_from = ?').run(version, readableFrom);
    db.close();
  };
  write(9, 1);
  (await openClicks(t, { dataDir })).close();
  write(9, 8);
  await t.rejects(openClicks(t, { dataDir }), {
    name: 'StartError',
    message: `${path} has schema 9, which needs a release that knows schema 8 or later; this one knows ${CLICK_SCHEMA.migrations.length}. Start a newer release, or restore a backup made by this one.`,
  });
  write(0, 0);
  await t.rejects(openClicks(t, { dataDir, migrate: 'check' }), {
    name: 'StartError',
    message: new RegExp(
      `schema 0 and this release needs ${CLICK_SCHEMA.migrations.length}, but MIGRATE=check forbids`,
    ),
  });
  t.same(asidesIn(dataDir), []);
});

t.test('a store whose clicks.db is of a later release is closed again', async (t) => {
  const dataDir = t.testdir();
  await (await openStore({ dataDir })).close();
  const path = join(dataDir, 'clicks.db');
  const db = new Database(path);
  db.prepare('update click_schema_state set version = 9, readable_from = 8').run();
  db.close();
  await t.rejects(openStore({ dataDir }), { name: 'StartError', message: /clicks\.db has schema 9/ });
  t.same(readdirSync(dataDir).sort(), ['clicks.db', 'links.db'], 'nothing is left open');
});

t.test('a file that is damaged at the start is set aside as it is, and a new one made', async (t) => {
  const used = await makeUsed(t);
  const bytes = readFileSync(join(used, 'clicks.db'));
  const damages: Readonly<Record<string, { damaged: Buffer; code: RegExp }>> = {
    'no database': { damaged: Buffer.from('This is a letter. '.repeat(500)), code: /^SQLITE_NOTADB$/ },
    'cut short': { damaged: bytes.subarray(0, 8192), code: /^SQLITE_CORRUPT/ },
    'zeroes behind the first page': {
      damaged: Buffer.alloc(bytes.length).fill(bytes.subarray(0, 4096), 0, 4096),
      code: /^SQLITE_CORRUPT/,
    },
  };
  for (const [name, { damaged, code }] of Object.entries(damages)) {
    await t.test(name, async (t) => {
      const dataDir = t.testdir({ 'clicks.db': damaged, 'clicks.db-wal': 'not a WAL' });
      const clicks = await openClicks(t, { dataDir });
      const aside = `clicks.db.damaged-${clicks.clock.nowMs()}`;
      t.match(clicks.told, [new RegExp(`^${aside}: ${code.source.slice(1)}`)]);
      t.ok(readFileSync(join(dataDir, aside)).equals(damaged), 'it is kept as it was');
      t.equal(clicks.journal.failure(), null);
      t.same(await appendUntilStored(clicks, 1), []);
      t.same(linksIn(dataDir), [1]);
    });
  }
});

/** Overwrites all leaves of the table of quotas but the first and the last, which the start reads. */
function damageMiddle(path: string): void {
  const db = new Database(path);
  const leaves = db
    .prepare("select pageno from dbstat where name = 'quotas' and pagetype = 'leaf' order by path")
    .pluck()
    .all() as number[];
  db.close();
  const bytes = readFileSync(path);
  for (const page of leaves.slice(1, -1)) bytes.fill(0x5a, (page - 1) * 4096, page * 4096);
  writeFileSync(path, bytes);
}

t.test('a file that is damaged in its middle is set aside once clicks meet it', async (t) => {
  const dataDir = await makeUsed(t);
  damageMiddle(join(dataDir, 'clicks.db'));
  const clicks = await openClicks(t, { dataDir });
  t.same([clicks.told, clicks.journal.failure()], [[], null], 'the start does not read all of it');
  const entry = { click: clickOn(4), quota: { linkId: 2500, clicksMax: 9, setBySeq: 1, isOnlyAsked: false } };
  let error: unknown = null;
  const append = () => {
    try {
      return clicks.journal.append([entry]);
    } catch (thrown) {
      error = thrown;
      return 'failed';
    }
  };
  t.equal(append(), 'failed');
  await clicks.journal.repair(error);
  t.same(clicks.told, [], 'it is opened anew first');
  t.equal(append(), 'failed');
  await clicks.journal.repair(error);
  t.match(clicks.told, [/^clicks\.db\.damaged-\d+: SQLITE_CORRUPT/]);
  t.equal(append(), null);
  t.same(linksIn(dataDir), [4]);
});

t.test('damage that a click survives is none', async (t) => {
  const clicks = await openClicks(t, { dataDir: t.testdir() });
  const damage = new Database.SqliteError('damaged', 'SQLITE_CORRUPT');
  for (let times = 0; times < 3; times++) {
    await clicks.journal.repair(damage);
    t.equal(clicks.journal.append(entriesOn(1)), null);
  }
  t.same(clicks.told, []);
});

t.test(
  'damage that figures meet is repaired with the next click, and set aside when they meet it again',
  async (t) => {
    const dataDir = t.testdir();
    const clicks = await openClicks(t, { dataDir });
    const damage = new Database.SqliteError('damaged', 'SQLITE_CORRUPT_INDEX');
    const before = clicks.database();
    clicks.report(new Database.SqliteError('full', 'SQLITE_FULL'));
    t.same(await appendUntilStored(clicks, 1), [], 'what is no damage is left alone');
    clicks.report(damage);
    clicks.report(damage);
    t.throws(() => clicks.journal.append(entriesOn(2)), { code: 'SQLITE_CORRUPT_INDEX' });
    clicks.report(damage);
    await clicks.journal.repair(damage);
    t.same(await appendUntilStored(clicks, 2), [], 'however often it is met until then');
    t.not(clicks.database(), before, 'it is opened anew first');
    await clicks.clock.advance(60_000);
    clicks.report(damage);
    t.same(await appendUntilStored(clicks, 3), ['SQLITE_CORRUPT_INDEX']);
    t.same(clicks.told, []);
    await clicks.clock.advance(59_000);
    clicks.report(damage);
    t.same(await appendUntilStored(clicks, 4), ['SQLITE_CORRUPT_INDEX']);
    t.match(clicks.told, [/^clicks\.db\.damaged-\d+: SQLITE_CORRUPT/, '3 missing']);
    t.same(linksIn(dataDir), [4]);
    clicks.close();
    clicks.report(damage);
  },
);

t.test('a disk that damages one file after the other is not filled with them', async (t) => {
  const dataDir = t.testdir();
  const clicks = await openClicks(t, { dataDir });
  const path = join(dataDir, 'clicks.db');
  for (let times = 0; times < 10; times++) {
    clicks.close();
    writeFileSync(path, 'garbage '.repeat(1000));
    await clicks.clock.advance(1);
    await clicks.journal.repair(null);
  }
  clicks.close();
  writeFileSync(path, 'garbage '.repeat(1000));
  const message = `${path} is damaged, and 10 damaged ones lie beside it. Look at the disk.`;
  await t.rejects(clicks.journal.repair(null), { message });
  t.equal(asidesIn(dataDir).length, 10);
  const later = await openClicks(t, { dataDir });
  t.match(later.journal.failure(), { message }, 'also at a start, which goes on without it');
  t.throws(() => later.database(), { code: 'unavailable', cause: { message } });
  rmSync(join(dataDir, String(asidesIn(dataDir)[0])));
  t.same(await appendUntilStored(later, 1), ['unavailable']);
});

t.test('a file that is deleted while it is used is noticed with the next click and made anew', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'clicks.db');
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 1);
  for (const names of [['clicks.db'], ['clicks.db', 'clicks.db-wal', 'clicks.db-shm']]) {
    for (const name of names) rmSync(join(dataDir, name));
    const sentence =
      'clicks.db was deleted or replaced while it was in use. Put it back, or start again on what is there.';
    t.same(await appendUntilStored(clicks, 3), [sentence]);
    t.same(linksIn(dataDir), [3]);
  }
  t.same(clicks.told, ['1 missing', '1 missing'], 'each time it is told what went with it');
  t.ok(statSync(path).size > 0);
  const db = new Database(path, { readonly: true });
  t.equal(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
});

t.test('what went with a file is told with all that others had stored in it', async (t) => {
  const dataDir = await makeUsed(t);
  const told: MissingClicks[] = [];
  const clicks = await openClicks(t, { dataDir, onMissing: (missing) => told.push(missing) });
  const before = linksIn(dataDir).length;
  t.ok(before > 0);
  rmSync(join(dataDir, 'clicks.db'));
  await appendUntilStored(clicks, 1);
  t.same(told, [{ ofProcess: 0, all: before }]);
  await appendUntilStored(clicks, 2);
  rmSync(join(dataDir, 'clicks.db'));
  await appendUntilStored(clicks, 3);
  t.same(told.slice(1), [{ ofProcess: 2, all: 2 }]);
});

t.test('a WAL or its index that is deleted costs nothing', async (t) => {
  const dataDir = t.testdir();
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 1);
  for (const [index, name] of ['clicks.db-wal', 'clicks.db-shm'].entries()) {
    rmSync(join(dataDir, name));
    t.match(await appendUntilStored(clicks, 2 + index), [new RegExp(`^${name} was deleted`)]);
  }
  t.same(linksIn(dataDir), [1, 2, 3]);
  t.same(clicks.told, []);
});

t.test('a file that is replaced by another one is used as it is, without the WAL of the first', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'clicks.db');
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 1);
  const away = await makeAnother(t, join(dataDir, 'another'));
  renameSync(path, join(dataDir, 'moved.db'));
  copyFileSync(away, path);
  t.match(await appendUntilStored(clicks, 9), [/^clicks\.db was deleted or replaced/]);
  t.same(linksIn(dataDir), [7, 8, 9]);
  t.same(clicks.told, ['1 missing']);
  const moved = new Database(join(dataDir, 'moved.db'));
  t.same(moved.prepare('select link_id from clicks').pluck().all(), [1], 'whoever moved it has all of it');
  moved.close();
});

t.test('a file that comes back is gone on with', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'clicks.db');
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 1);
  renameSync(path, `${path}.away`);
  t.throws(() => clicks.journal.append(entriesOn(2)), /was deleted or replaced/);
  renameSync(`${path}.away`, path);
  await clicks.journal.repair(new Error('it was away'));
  t.same(await appendUntilStored(clicks, 2), []);
  t.same(linksIn(dataDir), [1, 2]);
  t.same(clicks.told, []);
});

/** A clicks.db with clicks on links 7 and 8, closed. */
async function makeAnother(t: Test, dataDir: string): Promise<string> {
  const another = await openClicks(t, { dataDir });
  another.journal.append(entriesOn(7, 8));
  another.close();
  return join(dataDir, 'clicks.db');
}

t.test('a file that is overwritten while it is used is noticed with the next click', async (t) => {
  const dataDir = await makeUsed(t);
  const path = join(dataDir, 'clicks.db');
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 4);
  writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage '));
  t.match(await appendUntilStored(clicks, 5), ['SQLITE_NOTADB']);
  t.match(clicks.told, [/^clicks\.db\.damaged-\d+: SQLITE_(?:NOTADB|CORRUPT)/, '1 missing']);
  t.same(linksIn(dataDir), [5]);
});

t.test('a file that is cut to nothing while it is used is made anew', async (t) => {
  const dataDir = await makeUsed(t);
  const path = join(dataDir, 'clicks.db');
  const clicks = await openClicks(t, { dataDir });
  await appendUntilStored(clicks, 4);
  truncateSync(path, 0);
  t.match(await appendUntilStored(clicks, 5), ['SQLITE_NOTADB']);
  t.match(linksIn(dataDir).at(-1), 5);
});

t.test('a connection that failed is opened anew', async (t) => {
  const clicks = await openClicks(t, { dataDir: t.testdir() });
  await appendUntilStored(clicks, 1);
  const before = clicks.database();
  await clicks.journal.repair(new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_WRITE'));
  t.not(clicks.database(), before);
  for (const passing of ['SQLITE_FULL', 'SQLITE_BUSY_RECOVERY']) {
    const opened = clicks.database();
    await clicks.journal.repair(new Database.SqliteError('it passes', passing));
    t.equal(clicks.database(), opened, `${passing} passes by itself`);
  }
  t.same(await appendUntilStored(clicks, 2), []);
  t.same(linksIn(clicks.dataDir), [1, 2]);
});

t.test('a start waits for another process that writes, a repair does not', async (t) => {
  const dataDir = t.testdir();
  const first = await openClicks(t, { dataDir });
  const lock = lockClicks(t, dataDir);
  const starting = performance.now();
  const late = await openClicks(t, { dataDir });
  t.ok(performance.now() - starting > 4000, 'but not for ever');
  t.equal(codeOf(late.journal.failure()), 'SQLITE_BUSY', 'and goes on without it');

  const repairing = performance.now();
  await t.rejects(late.journal.repair(late.journal.failure()));
  await t.rejects(first.journal.repair(new Database.SqliteError('I/O', 'SQLITE_IOERR_READ')));
  t.ok(performance.now() - repairing < 2000, 'no redirect is held up');
  lock.release();
  for (const clicks of [late, first]) t.same(await appendUntilStored(clicks, 1), ['unavailable']);
  t.same(linksIn(dataDir), [1, 1]);
});

t.test('what stands in the way at the start is repaired when it is gone', async (t) => {
  const obstacles: Readonly<Record<string, (path: string) => () => void>> = {
    'a folder of that name': (path) => {
      mkdirSync(path);
      return () => rmSync(path, { recursive: true });
    },
    'a WAL that cannot be read': (path) => {
      mkdirSync(`${path}-wal`);
      return () => rmSync(`${path}-wal`, { recursive: true });
    },
  };
  for (const [name, put] of Object.entries(obstacles)) {
    await t.test(name, async (t) => {
      const dataDir = t.testdir();
      const remove = put(join(dataDir, 'clicks.db'));
      const clicks = await openClicks(t, { dataDir });
      t.match(codeOf(clicks.journal.failure()), /^SQLITE_(?:CANTOPEN|IOERR_DELETE)/);
      t.throws(() => clicks.journal.append(entriesOn(1)), { code: 'unavailable', retryAfterSeconds: 1 });
      t.match(clicks.salts.saltOf(1), { isShared: false }, 'visitors are told apart all the same');
      await t.rejects(clicks.journal.repair(clicks.journal.failure()));
      remove();
      t.same(await appendUntilStored(clicks, 1), ['unavailable']);
      t.equal(clicks.journal.failure(), null);
      t.same(linksIn(dataDir), [1]);
    });
  }
});

t.test('a disk without room at the start, empty or with a file, is repaired when there is', async (t) => {
  for (const isUsed of [false, true]) {
    const disk = mountSmallDisk(t, 4096);
    if (disk === null) return;
    if (isUsed) copyFileSync(join(await makeUsed(t), 'clicks.db'), join(disk.path, 'clicks.db'));
    disk.fill();
    const clicks = await openClicks(t, { dataDir: disk.path });
    t.match(
      codeOf(clicks.journal.failure()),
      /^SQLITE_(?:FULL|IOERR_SHMSIZE|CANTOPEN)$/,
      isUsed ? 'with a file' : 'empty',
    );
    await t.rejects(clicks.journal.repair(clicks.journal.failure()));
    disk.free();
    t.same(await appendUntilStored(clicks, 9), ['unavailable']);
    t.same(linksIn(disk.path), isUsed ? [1, 2, 3, 9] : [9]);
    t.same(clicks.told, []);
  }
});

t.test('a disk that cannot be written to at the start does not stop it', async (t) => {
  for (const content of ['nothing', 'a file', 'a damaged file']) {
    const disk = mountSmallDisk(t, 4096);
    if (disk === null) return;
    const path = join(disk.path, 'clicks.db');
    if (content === 'a file') copyFileSync(join(await makeUsed(t), 'clicks.db'), path);
    if (content === 'a damaged file') writeFileSync(path, 'garbage '.repeat(1000));
    disk.makeReadOnly();
    const clicks = await openClicks(t, { dataDir: disk.path });
    t.not(clicks.journal.failure(), null, content);
    await t.rejects(clicks.journal.repair(clicks.journal.failure()));
    t.same(clicks.told, []);
  }
});

t.test('a disk that fills up while it is used is gone on with when there is room', async (t) => {
  const disk = mountSmallDisk(t, 4096);
  if (disk === null) return;
  const clicks = await openClicks(t, { dataDir: disk.path });
  await appendUntilStored(clicks, 1);
  disk.fill();
  t.throws(() => clicks.journal.append(Array.from({ length: 2000 }, () => entriesOn(2)).flat()), {
    code: 'SQLITE_FULL',
  });
  disk.free();
  t.same(await appendUntilStored(clicks, 3), []);
  t.same(linksIn(disk.path), [1, 3]);
});

t.test('two processes on one file go on together, also when it is deleted or damaged', async (t) => {
  const dataDir = t.testdir();
  const path = join(dataDir, 'clicks.db');
  const clock = createFakeClock();
  const [one, other] = [await openClicks(t, { dataDir, clock }), await openClicks(t, { dataDir, clock })];
  let appended = 0;
  const appendBoth = async () => {
    await appendUntilStored(one, 1);
    await appendUntilStored(other, 2);
    appended += 2;
    // Whoever was first has made the file that both use from the next look at it on.
    await clock.advance(1000);
  };
  const countMissing = () =>
    [...one.told, ...other.told]
      .map((told) => Number(/^(\d+) missing$/.exec(told)?.[1] ?? 0))
      .reduce((sum, missing) => sum + missing, 0);
  await appendBoth();
  const accidents = [
    () => rmSync(path),
    () => writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage ')),
    () => {
      for (const name of ['', '-wal', '-shm']) rmSync(path + name);
    },
  ];
  for (const happen of accidents) {
    happen();
    for (let times = 0; times < 3; times++) await appendBoth();
    t.equal(linksIn(dataDir).length + countMissing(), appended, 'no click is gone without a word');
    const db = new Database(path, { readonly: true });
    t.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    db.close();
  }
  t.ok(asidesIn(dataDir).length <= 1, 'one damaged file is set aside once');
  one.close();
  other.close();
  t.equal(linksIn(dataDir).length, 6);
});
