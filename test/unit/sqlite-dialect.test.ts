import Database from 'better-sqlite3';
import { Kysely, SqliteDialect, sql } from 'kysely';
import t, { type Test } from 'tap';
import type { Clock } from '../../app/kernel/clock.ts';
import { AppError } from '../../app/kernel/errors.ts';
import { createSqliteDialect, translateSqliteError } from '../../app/store/sqlite/dialect.ts';
import type { Tables } from '../../app/store/tables.ts';

/** A clock that notes each sleep and moves on by it at once; somebody sets the wall clock an hour ahead each time. */
function createJumpingClock(onSleep: (count: number) => void = () => undefined) {
  const sleeps: number[] = [];
  let monotonicMs = 0;
  const clock: Clock = {
    nowMs: () => sleeps.length * 3_600_000,
    monotonicMs: () => monotonicMs,
    sleep: async (ms) => {
      sleeps.push(ms);
      monotonicMs += ms;
      onSleep(sleeps.length);
    },
  };
  return { clock, sleeps };
}

function open(t: Test, path: string) {
  const connection = new Database(path, { timeout: 0 });
  t.teardown(() => connection.close());
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection }) });
  return { connection, db };
}

function openTable(t: Test) {
  const path = `${t.testdir()}/x.db`;
  const { connection, db } = open(t, path);
  connection.exec('create table x (n integer primary key, text)');
  const rows = () => connection.prepare('select n from x order by n').pluck().all();
  return { path, connection, db, rows };
}

const insert = (n: number) => (db: Kysely<Tables>) => sql`insert into x (n) values (${n})`.execute(db);

t.test('a transaction commits what its work did and gives back what it returned', async (t) => {
  const { db, rows, connection } = openTable(t);
  const { clock, sleeps } = createJumpingClock();
  const dialect = createSqliteDialect({ clock, random: () => 0 });
  const result = await dialect.transaction(db, async (connection) => {
    await insert(1)(connection);
    return 'done';
  });
  t.equal(result, 'done');
  t.same(rows(), [1]);
  t.same(sleeps, []);
  t.notOk(connection.inTransaction);
});

t.test('a transaction whose work fails leaves nothing, and the connection is free again', async (t) => {
  const { db, rows, connection } = openTable(t);
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  const failing = dialect.transaction(db, async (connection) => {
    await insert(1)(connection);
    throw new Error('work');
  });
  await t.rejects(failing, { message: 'work' });
  t.same(rows(), []);
  t.notOk(connection.inTransaction);
  await dialect.transaction(db, insert(2));
  t.same(rows(), [2]);
});

t.test(
  'while another connection writes it tries again about each millisecond, until its turn comes',
  async (t) => {
    const { path, db, rows } = openTable(t);
    const other = open(t, path).connection;
    other.exec('begin immediate');
    const { clock, sleeps } = createJumpingClock((count) => {
      if (count === 5) other.exec('commit');
    });
    const chances = [0, 0.25, 0.5, 0.75, 0.999];
    const dialect = createSqliteDialect({ clock, random: () => chances.shift() ?? 0 });
    await dialect.transaction(db, insert(1));
    t.same(rows(), [1]);
    t.same(sleeps, [0.5, 0.75, 1, 1.25, 1.499]);
  },
);

t.test('after 5 seconds it gives up with SQLITE_BUSY, which says to try again', async (t) => {
  const { path, db, rows } = openTable(t);
  open(t, path).connection.exec('begin immediate');
  const { clock, sleeps } = createJumpingClock();
  const dialect = createSqliteDialect({ clock, random: () => 0.5 });
  const error = await dialect.transaction(db, insert(1)).then(
    () => null,
    (reason: unknown) => reason,
  );
  t.equal(sleeps.length, 5000);
  t.same(rows(), []);
  t.match(dialect.translateError(error), {
    name: 'AppError',
    code: 'unavailable',
    message: 'Another process is writing to the database. Try again in a moment.',
    retryAfterSeconds: 1,
    cause: error,
  });
});

t.test('an error that is not "busy" is not tried again', async (t) => {
  const { path } = openTable(t);
  const connection = new Database(path, { readonly: true });
  t.teardown(() => connection.close());
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection }) });
  const { clock, sleeps } = createJumpingClock();
  const dialect = createSqliteDialect({ clock, random: () => 0 });
  await t.rejects(dialect.transaction(db, insert(1)), { code: 'SQLITE_READONLY' });
  t.same(sleeps, []);
});

t.test('a full disk ends the transaction, and the next one works when there is room', async (t) => {
  const { db, rows, connection } = openTable(t);
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  const pages = connection.pragma('page_count', { simple: true });
  connection.pragma(`max_page_count = ${String(pages)}`);
  const large = dialect.transaction(db, (connection) =>
    sql`insert into x (n, text) values (1, ${'x'.repeat(1_000_000)})`.execute(connection),
  );
  const error = await large.then(
    () => null,
    (reason: unknown) => reason,
  );
  t.match(dialect.translateError(error), {
    code: 'unavailable',
    message: 'The disk is full. Links still redirect; free some space to make new ones.',
  });
  connection.pragma('max_page_count = 100000');
  await dialect.transaction(db, insert(2));
  t.same(rows(), [2]);
});

t.test(
  'where SQLite has ended the transaction by itself, the first error is the one that is told',
  async (t) => {
    const { db, connection } = openTable(t);
    const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
    const failing = dialect.transaction(db, async () => {
      connection.exec('rollback');
      throw new Error('the disk is full');
    });
    await t.rejects(failing, { message: 'the disk is full' });
  },
);

t.test('a rollback that fails for another reason is told', async (t) => {
  const { path } = openTable(t);
  const connection = new Database(path);
  t.teardown(() => connection.close());
  const prepare = (text: string) => {
    if (text === 'rollback') throw new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_READ');
    return connection.prepare(text);
  };
  const database = { prepare, close: () => undefined };
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) });
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  const failing = dialect.transaction(db, () => Promise.reject(new Error('work')));
  await t.rejects(failing, { code: 'SQLITE_IOERR_READ' });
});

t.test('a savepoint is undone alone; of a transaction that is over it says so', async (t) => {
  const { db, rows, connection } = openTable(t);
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  await dialect.transaction(db, async (connection) => {
    await insert(1)(connection);
    await sql`savepoint here`.execute(connection);
    await insert(2)(connection);
    t.equal(await dialect.undoTo(connection, 'here'), true);
  });
  t.same(rows(), [1]);
  t.equal(await dialect.undoTo(db, 'here'), false);
  connection.close();
  await t.rejects(dialect.undoTo(db, 'here'), { message: 'The database connection is not open' });
});

t.test('a connection that is gone cannot roll back, and that is told', async (t) => {
  const { db, connection } = openTable(t);
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  const failing = dialect.transaction(db, async () => {
    connection.close();
    throw new Error('work');
  });
  await t.rejects(failing, { name: 'TypeError', message: 'The database connection is not open' });
});

t.test('a long WAL is moved into the file after a commit, a short one stays', async (t) => {
  const { connection, db } = openTable(t);
  connection.pragma('journal_mode = wal');
  connection.pragma('wal_autocheckpoint = 0');
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  const pages = () => connection.pragma('wal_checkpoint(noop)');
  const fill = connection.prepare("insert into x (text) values (printf('%.*c', 4000, 'x'))");
  const grow = connection.transaction((count: number) => {
    for (let i = 0; i < count; i++) fill.run();
  });
  grow(900);
  await dialect.afterCommit(db);
  t.match(pages(), [{ checkpointed: 0 }]);
  grow(100);
  let turns = 0;
  setImmediate(() => {
    turns += 1;
    t.match(pages(), [{ checkpointed: 0 }], 'in the turn of the commit nothing is moved');
  });
  await dialect.afterCommit(db);
  t.equal(turns, 1);
  const [{ log, checkpointed }] = pages() as [{ log: number; checkpointed: number }];
  t.ok(log >= 1000);
  t.equal(checkpointed, log);
});

t.test('a WAL that cannot be moved is no failure of what was committed', async (t) => {
  const { db, connection } = openTable(t);
  const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
  connection.close();
  await t.resolves(dialect.afterCommit(db));
});

t.test('codes of the driver become sentences; what is no fault of the moment stays a defect', async (t) => {
  const translate = (code: string) => {
    const error = new Database.SqliteError('text of the driver', code);
    const translated = translateSqliteError(error);
    if (translated === error) return 'as it is';
    if (!(translated instanceof AppError)) return 'lost';
    t.same([translated.code, translated.retryAfterSeconds, translated.cause], ['unavailable', 1, error]);
    return translated.message;
  };
  const busy = 'Another process is writing to the database. Try again in a moment.';
  const damaged = 'The database is damaged. Stop the service and restore a backup.';
  const disk = 'The disk does not answer as it should. Links that can be read still redirect.';
  t.same(
    [
      'SQLITE_BUSY',
      'SQLITE_BUSY_SNAPSHOT',
      'SQLITE_FULL',
      'SQLITE_IOERR',
      'SQLITE_IOERR_FSYNC',
      'SQLITE_READONLY',
      'SQLITE_READONLY_DBMOVED',
      'SQLITE_CORRUPT',
      'SQLITE_CORRUPT_VTAB',
      'SQLITE_NOTADB',
      'SQLITE_CANTOPEN',
      'SQLITE_CONSTRAINT_UNIQUE',
      'SQLITE_ERROR',
      'SQLITE',
      'OTHER_BUSY',
    ].map(translate),
    [
      busy,
      busy,
      'The disk is full. Links still redirect; free some space to make new ones.',
      disk,
      disk,
      'The database cannot be written to. Links still redirect.',
      'The database cannot be written to. Links still redirect.',
      damaged,
      damaged,
      damaged,
      'The database cannot be opened.',
      'as it is',
      'as it is',
      'as it is',
      'as it is',
    ],
  );
  const other = new Error('SQLITE_BUSY');
  t.equal(translateSqliteError(other), other);
  t.equal(translateSqliteError(null), null);
});

t.test(
  'a search walks one list of the index, and joins no more than may be read to their ends',
  async (t) => {
    const { db } = open(t, ':memory:');
    const dialect = createSqliteDialect({ clock: createJumpingClock().clock, random: () => 0 });
    await sql`create table links (id integer primary key)`.execute(db);
    await dialect.createSearchIndex(db);
    const lists = async (needle: string) => {
      const source = await dialect.searchSource(db, needle);
      if (source === null) return null;
      const words = [source.where, source.narrowed ?? sql`none`].map(
        (condition) => condition.compile(db).parameters[0],
      );
      return words.map((text) => String(text).split(' AND '));
    };
    t.equal(await lists('ab'), null);
    t.same(await lists('"""'), [['""""""""'], ['""""""""']]);
    t.same((await lists('abcdefghijklmnopqrst'))?.[1]?.length, 8, 'of an empty table');

    // `abc` is in each text, `bcd` in every second one, `cde` in none.
    for (let id = 1; id <= 300; id++) {
      await dialect.indexSearchText(db, { id, text: id % 2 ? 'abc' : 'abcd', isNew: true });
    }
    const rowids: readonly (readonly [last: number, joined: readonly string[]])[] = [
      [133_333, ['"cde"', '"bcd"', '"abc"']],
      [200_000, ['"cde"', '"bcd"']],
      [200_001, ['"cde"']],
      [1_000_000, ['"cde"']],
    ];
    for (const [last, joined] of rowids) {
      await sql`insert into links (id) values (${last})`.execute(db);
      t.same(await lists('abcde'), [['"cde"'], joined], `${last} links`);
    }
  },
);
