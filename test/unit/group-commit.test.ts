import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import t, { type Test } from 'tap';
import { AppError } from '../../app/kernel/errors.ts';
import type { Dialect } from '../../app/store/dialect.ts';
import { createGroupCommit, type GroupCommitDeps } from '../../app/store/group-commit.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import type { Tables } from '../../app/store/tables.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openLinksDb } from '../support/store.ts';

/** Group commit on a real file, with the groups counted on their way to the database. */
async function open(
  t: Test,
  { requireInPlace = () => undefined, onCommitted = () => undefined }: Partial<GroupCommitDeps> = {},
  wrap: (dialect: Dialect) => Dialect = (dialect) => dialect,
) {
  const clock = createFakeClock();
  const sqlite = createSqliteDialect({ clock, random: () => 0 });
  const db = await openLinksDb({ dataDir: t.testdir(), migrate: 'auto', dialect: sqlite });
  t.teardown(() => db.close());
  const log: string[] = [];
  const dialect: Dialect = {
    ...sqlite,
    async transaction(connection, work) {
      log.push('begin');
      const result = await sqlite.transaction(connection, work);
      log.push('committed');
      return result;
    },
  };
  const writes = createGroupCommit(db.writer, {
    clock,
    dialect: wrap(dialect),
    requireInPlace,
    onCommitted() {
      log.push('told');
      return onCommitted();
    },
  });
  const values = async () =>
    (await db.reader.selectFrom('host_state').select('name').execute()).map((row) => row.name);
  return { db, clock, writes, log, values };
}

const insert = (name: string) => async (db: Kysely<Tables>) => {
  await db.insertInto('host_state').values({ name, value: 1 }).execute();
  return name;
};

t.test(
  'calls of one turn share one commit and are answered behind it, each with its own result',
  async (t) => {
    const { writes, log, values } = await open(t);
    const calls = ['a', 'b', 'c'].map(async (name) => {
      const result = await writes.run(1, insert(name));
      log.push(`answer ${result}`);
      return result;
    });
    t.same(log, [], 'nothing happens in the turn itself');
    t.same(await Promise.all(calls), ['a', 'b', 'c']);
    t.same(log, ['begin', 'committed', 'told', 'answer a', 'answer b', 'answer c']);
    t.same(await values(), ['a', 'b', 'c']);
  },
);

t.test('what the database puts off comes behind the answers and before the next group', async (t) => {
  const { writes, log } = await open(t, {}, (dialect) => ({
    ...dialect,
    async afterCommit(db) {
      await nextTurn();
      log.push('put off');
      await dialect.afterCommit(db);
    },
  }));
  await writes.run(1, insert('a'));
  log.push('answer');
  await writes.run(1, insert('b'));
  await writes.close();
  t.same(log, ['begin', 'committed', 'told', 'answer', 'put off', 'begin', 'committed', 'told', 'put off']);
});

t.test('what comes while a group is committed goes into the next one', async (t) => {
  const { writes, log } = await open(t);
  let later: Promise<unknown> = Promise.resolve();
  await writes.run(1, async (db) => {
    later = Promise.all([writes.run(1, insert('b')), writes.run(1, insert('c'))]);
    return insert('a')(db);
  });
  t.same(log, ['begin', 'committed', 'told']);
  await later;
  t.same(log, ['begin', 'committed', 'told', 'begin', 'committed', 'told']);
});

t.test('a group holds at most 200 commands, unless one call has more', async (t) => {
  const { writes } = await open(t);
  const groups: string[][] = [];
  let current: Kysely<Tables> | null = null;
  const note = (name: string) => async (db: Kysely<Tables>) => {
    if (db !== current) groups.push([]);
    current = db;
    groups.at(-1)?.push(name);
  };
  const weights = [150, 50, 1, 500, 199, 1, 200, 200];
  await Promise.all(weights.map((weight, n) => writes.run(weight, note(`${n}:${weight}`))));
  t.same(groups, [['0:150', '1:50'], ['2:1'], ['3:500'], ['4:199', '5:1'], ['6:200'], ['7:200']]);
});

t.test('a call that fails is undone and rejected alone', async (t) => {
  const { writes, log, values } = await open(t);
  const failure = new Error('defect');
  const failing = async (db: Kysely<Tables>) => {
    await insert('b')(db);
    throw failure;
  };
  const results = await Promise.allSettled([
    writes.run(1, insert('a')),
    writes.run(1, failing),
    writes.run(1, insert('a')),
    writes.run(1, insert('c')),
  ]);
  t.match(results, [
    { status: 'fulfilled', value: 'a' },
    { status: 'rejected', reason: failure },
    { status: 'rejected', reason: { code: 'SQLITE_CONSTRAINT_PRIMARYKEY' } },
    { status: 'fulfilled', value: 'c' },
  ]);
  t.same(await values(), ['a', 'c']);
  t.same(log, ['begin', 'committed', 'told']);
});

t.test('a transaction that ends in the middle rejects every call, and the next group works', async (t) => {
  const { writes, log, values } = await open(t);
  const failure = new Error('the disk is full');
  const ending = async (db: Kysely<Tables>) => {
    await sql`rollback`.execute(db);
    throw failure;
  };
  const results = await Promise.allSettled([
    writes.run(1, insert('a')),
    writes.run(1, ending),
    writes.run(1, insert('c')),
  ]);
  t.same(results, Array(3).fill({ status: 'rejected', reason: failure }));
  const stored = await values();
  t.same(stored, []);
  t.equal(await writes.run(1, insert('d')), 'd');
  t.same(await values(), ['d']);
  t.same(log, ['begin', 'begin', 'committed', 'told']);
});

t.test('what was committed is answered as such, also when telling of it fails', async (t) => {
  const { writes, values } = await open(t, {
    onCommitted() {
      throw new Error('telling');
    },
  });
  const call = writes.run(1, insert('a'));
  await t.rejects(writes.close(), { message: 'telling' });
  t.equal(await call, 'a');
  t.same(await values(), ['a']);
});

t.test(
  'calls on a database that is not in place are refused and undone, and work once it is back',
  async (t) => {
    const away = new AppError('unavailable', 'The database is not in place.');
    let isAway = true;
    const { writes, log, values } = await open(t, {
      requireInPlace() {
        if (isAway) throw away;
      },
    });
    const results = await Promise.allSettled([writes.run(1, insert('a')), writes.run(1, insert('b'))]);
    t.same(results, Array(2).fill({ status: 'rejected', reason: away }));
    t.same(await values(), []);
    isAway = false;
    t.equal(await writes.run(1, insert('c')), 'c');
    t.same(await values(), ['c']);
    t.same(log, ['begin', 'begin', 'committed', 'told'], 'asked before the commit');
  },
);

t.test('a database that goes away while a group is committed acknowledges nothing of it', async (t) => {
  const away = new AppError('unavailable', 'The database is not in place.');
  const { writes, log } = await open(t, {
    requireInPlace() {
      if (log.at(-1) === 'committed') throw away;
    },
  });
  const results = await Promise.allSettled([writes.run(1, insert('a')), writes.run(1, insert('b'))]);
  t.same(results, Array(2).fill({ status: 'rejected', reason: away }));
  t.same(log, ['begin', 'committed']);
});

t.test('an error of the driver is translated, of one call and of the transaction', async (t) => {
  const { writes, db } = await open(t);
  const readOnly = async () => {
    await insert('x')(db.reader as Kysely<Tables>);
  };
  const told = {
    name: 'AppError',
    code: 'unavailable',
    message: 'The database cannot be written to. Links still redirect.',
    retryAfterSeconds: 1,
  };
  await t.rejects(writes.run(1, readOnly), told);
  const ended = writes.run(1, async (connection) => {
    await sql`rollback`.execute(connection);
    await readOnly();
  });
  await t.rejects(ended, told);
});

t.test('20,000 commands wait at most; what comes then is refused and later ones are not', async (t) => {
  const { writes } = await open(t);
  const nothing = async () => undefined;
  const refusal = {
    code: 'unavailable',
    message: 'Too many writes are waiting for the database. Try again in a moment.',
    retryAfterSeconds: 1,
  };
  const waiting = Array.from({ length: 20 }, () => writes.run(999, nothing));
  waiting.push(writes.run(20, nothing));
  await t.rejects(writes.run(1, nothing), refusal);
  await t.rejects(writes.run(20_001, nothing), refusal);
  await Promise.all(waiting);
  await t.resolves(writes.run(20_000, nothing));
});

t.test('a transaction begins no call after a second, and what is left goes into the next one', async (t) => {
  const { writes, clock, log, values } = await open(t);
  const slow = (name: string) => async (db: Kysely<Tables>) => {
    await clock.advance(600);
    return insert(name)(db);
  };
  await Promise.all(['a', 'b', 'c'].map((name) => writes.run(1, slow(name))));
  t.same(log, ['begin', 'committed', 'told', 'begin', 'committed', 'told']);
  t.same(await values(), ['a', 'b', 'c']);
});

t.test('who has waited for ten seconds is told to come back, and who came later is served', async (t) => {
  const { writes, clock, values } = await open(t);
  const first = writes.run(200, async (db) => {
    await clock.advance(5000);
    return insert('first')(db);
  });
  const early = writes.run(1, insert('early'));
  await nextTurn();
  await clock.advance(5001);
  const late = writes.run(1, insert('late'));
  await Promise.all([first, t.rejects(early, { code: 'unavailable' }), late]);
  t.same(await values(), ['first', 'late']);
});

t.test('closing waits for every group and refuses what comes after', async (t) => {
  const { writes, log, values } = await open(t);
  const names = Array.from({ length: 5 }, (_, n) => `n${n}`);
  const calls = names.map((name) => writes.run(150, insert(name)));
  await writes.close();
  t.equal(log.filter((entry) => entry === 'told').length, 5, 'five groups, all committed');
  t.same(await values(), names);
  t.same(await Promise.all(calls), names);
  await t.rejects(writes.run(1, insert('late')), { code: 'unavailable' });
  await t.resolves(writes.close(), 'closing twice does no harm');
});

t.test('closing when nothing waits returns at once', async (t) => {
  const { writes, log } = await open(t);
  await writes.close();
  t.same(log, []);
});
