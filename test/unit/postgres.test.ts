// What PostgreSQL's side does when the server refuses, is away, or answers with an error.
import { Kysely, PostgresDialect, type PostgresPoolClient, sql } from 'kysely';
import pg from 'pg';
import t from 'tap';
import type { ShippedClick } from '../../app/fleet/shipper.ts';
import { createBreaker } from '../../app/kernel/breaker.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { createGroupCommit } from '../../app/store/group-commit.ts';
import { createClickInbox } from '../../app/store/postgres/click-inbox.ts';
import { createPostgresDialect, translatePostgresError } from '../../app/store/postgres/dialect.ts';
import { openPostgres } from '../../app/store/postgres/open-postgres.ts';
import { createPool } from '../../app/store/postgres/pool.ts';
import { createQuotaBook } from '../../app/store/postgres/quota-book.ts';
import { createReading } from '../../app/store/reading.ts';
import type { Tables } from '../../app/store/tables.ts';
import { ask } from '../../scripts/postgres-server.ts';
import { findFreePort } from '../../scripts/processes.ts';
import { clickOn } from '../support/click-tables.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { requireCommand } from '../support/requirement.ts';
import { until } from '../support/until.ts';

const options = { migrate: 'auto', onBroken: () => undefined, clock: systemClock } as const;

function serverError(code: string): Error {
  const error = new pg.DatabaseError('no', 2, 'error');
  error.code = code;
  return error;
}

await t.test('errors that pass by themselves are told as unavailable, all others as they are', async (t) => {
  const sentences: readonly [error: Error, sentence: RegExp][] = [
    [serverError('57P01'), /cannot be reached/],
    [serverError('53300'), /cannot be reached/],
    [serverError('08006'), /cannot be reached/],
    [serverError('53100'), /disk of the database is full/],
    [serverError('55P03'), /Others are writing/],
    [serverError('40P01'), /Others are writing/],
    [serverError('57014'), /did not answer in time/],
    [serverError('25P03'), /silent for too long/],
    [serverError('25006'), /is a standby/],
    [serverError('28P01'), /refuses this host/],
    [serverError('42501'), /refuses this host/],
    [serverError('42P01'), /tables of the database are gone/],
    [new Error('Query read timeout'), /did not answer in time/],
    [new Error('Connection terminated unexpectedly'), /cannot be reached/],
    [Object.assign(new Error('no'), { code: 'ECONNREFUSED' }), /cannot be reached/],
    [Object.assign(new Error('no'), { code: 'EAI_AGAIN' }), /cannot be reached/],
  ];
  for (const [error, sentence] of sentences) {
    const translated = translatePostgresError(error) as Error;
    t.match(translated, { code: 'unavailable', message: sentence, cause: error, retryAfterSeconds: 1 });
    t.equal(translatePostgresError(translated), translated);
  }
  const noCode = new pg.DatabaseError('no', 2, 'error');
  for (const other of [
    serverError('23505'),
    serverError('42601'),
    noCode,
    new Error('a bug'),
    Object.assign(new Error('a bug'), { code: 'ERR_INVALID_ARG_TYPE' }),
    'text',
    null,
  ]) {
    t.equal(translatePostgresError(other), other);
  }
});

await t.test('a database that is away does not stop a start', async (t) => {
  const url = `postgres://me:secret@127.0.0.1:${await findFreePort()}/links`;
  const { db, links, close } = await openPostgres({ ...options, url });
  t.teardown(close);
  const asked = createReading(links)(db.selectFrom('links').select('id').execute());
  await t.rejects(asked, { code: 'unavailable', cause: { code: 'ECONNREFUSED' } });
});

await t.test('but who is no use without it is told', async (t) => {
  const port = await findFreePort();
  const url = `postgres://me:secret@127.0.0.1:${port}/links`;
  await t.rejects(openPostgres({ ...options, url, bears: 'nothing' }), {
    name: 'StartError',
    message: `The database 127.0.0.1:${port}/links cannot be used. (connect ECONNREFUSED 127.0.0.1:${port})`,
  });
});

async function main(server: PostgresServer): Promise<void> {
  await t.test(
    'who can do without a database starts on one that refuses, and goes on when it does not',
    async (t) => {
      const url = new URL(await server.createDatabase(t));
      const schema = `made_later_${process.pid}`;
      url.searchParams.set('options', `-c search_path=${schema}`);
      await t.rejects(openPostgres({ ...options, url: url.href }), {
        name: 'StartError',
        message: /no schema has been selected to create in/,
      });
      const { db, links, close } = await openPostgres({ ...options, url: url.href, bears: 'refusing' });
      t.teardown(close);
      const read = () => createReading(links)(db.selectFrom('links').select('id').execute());
      await t.rejects(read(), { code: 'unavailable', message: /tables of the database are gone/ });
      t.teardown(() => ask(url.href, `drop schema ${schema} cascade`));
      await ask(url.href, `create schema ${schema}`);
      t.same(await read(), []);
    },
  );

  await t.test('tables that are gone are missed until they are back', async (t) => {
    const url = await server.createDatabase(t);
    const schema = /search_path=(\w+),/.exec(new URL(url).searchParams.get('options') ?? '')?.[1] as string;
    const clock = createFakeClock();
    const { db, links, close } = await openPostgres({ ...options, url, clock });
    t.teardown(close);
    const read = () => createReading(links)(db.selectFrom('links').select('id').execute());
    t.same(await read(), []);
    await ask(url, `alter schema ${schema} rename to away_${schema}`);
    await t.rejects(read(), { code: 'unavailable', message: /tables of the database are gone/ });
    await clock.advance(5000);
    await until('it has looked', async () => {
      const error = await read().catch((caught: unknown) => caught);
      return /release can work with/.test((error as Error).message);
    });
    await ask(url, `alter schema away_${schema} rename to ${schema}`);
    await clock.advance(5000);
    await until('it has looked again', read);
  });

  await t.test('what cannot be used is told in a sentence, without the password', async (t) => {
    const url = new URL(await server.createDatabase(t));
    const name = `${url.host}${url.pathname}`;
    await t.rejects(openPostgres({ ...options, url: url.href, migrate: 'check' }), {
      name: 'StartError',
      message: `${name} has schema none and this release needs 2, but MIGRATE=check forbids migrating at start. Run the migration as a step of the deploy, or start with MIGRATE=auto.`,
    });
    const missing = new URL(url);
    missing.pathname = '/not-there';
    missing.password = 'secret';
    await t.rejects(openPostgres({ ...options, url: missing.href }), {
      name: 'StartError',
      message: `The database ${url.host}/not-there does not exist. Create it, or look at DATABASE_URL. (database "not-there" does not exist)`,
    });
    const { db, close } = await openPostgres({ ...options, url: url.href });
    await db.updateTable('schema_state').set({ version: 99, readable_from: 98 }).execute();
    await close();
    await t.rejects(openPostgres({ ...options, url: url.href }), {
      name: 'StartError',
      message: `${name} has schema 99, which needs a release that knows schema 98 or later; this one knows 2. Start a newer release, or restore a backup made by this one.`,
    });
    const otherUrl = await server.createDatabase(t);
    const again = await openPostgres({ ...options, url: otherUrl });
    await again.db.schema.dropTable('schema_state').execute();
    await again.db.schema.createTable('schema_state').addColumn('one', 'text').execute();
    await again.close();
    await t.rejects(openPostgres({ ...options, url: otherUrl }), {
      name: 'StartError',
      message: /^The database \S+ cannot be used\. \(/,
    });
  });

  await t.test('of calls that share a transaction one that fails is undone alone', async (t) => {
    const {
      db,
      links: dialect,
      close,
    } = await openPostgres({ ...options, url: await server.createDatabase(t) });
    t.teardown(close);
    const onCommitted = () => undefined;
    const writes = createGroupCommit(db, {
      clock: systemClock,
      dialect,
      requireInPlace: () => undefined,
      onCommitted,
    });
    const insert = (name: string) =>
      writes.run(1, async (connection) => {
        await connection.insertInto('host_state').values({ name, value: 1 }).execute();
      });
    const twice = writes.run(1, async (connection) => {
      for (let time = 0; time < 2; time++) {
        await connection.insertInto('host_state').values({ name: 'twice', value: 1 }).execute();
      }
    });
    const answers = await Promise.allSettled([insert('before'), twice, insert('after')]);
    t.same(
      answers.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    const rows = await db.selectFrom('host_state').select('name').orderBy('name').execute();
    t.same(
      rows.map(({ name }) => name),
      ['after', 'before'],
    );
  });

  await t.test('a host that falls silent while it writes keeps nobody else from writing', async (t) => {
    const url = await server.createDatabase(t);
    const open = async () => {
      const { db, links, close } = await openPostgres({ ...options, url });
      t.teardown(close);
      return { db, links };
    };
    const [silent, other] = [await open(), await open()];
    let goOn = (): void => undefined;
    const isSilent = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const begun = new Promise<void>((resolve) => {
      void silent.links
        .transaction(silent.db, async (connection) => {
          resolve();
          await isSilent;
          await connection.selectFrom('links').select('id').execute();
        })
        .catch((error: unknown) => {
          failed = silent.links.translateError(error);
        });
    });
    let failed: unknown = null;
    await begun;
    await other.links.transaction(other.db, async (connection) => {
      await connection.insertInto('host_state').values({ name: 'written', value: 1 }).execute();
    });
    goOn();
    await until('the silent one is told', () => failed !== null);
    t.match(failed, { code: 'unavailable' });
  });

  await t.test('of more texts of a kind than are kept only that there was one is kept', async (t) => {
    const { db, clicks, close } = await openPostgres({ ...options, url: await server.createDatabase(t) });
    t.teardown(close);
    const { merge, readDatabase } = createClickInbox(db, clicks, 2);
    const database = await readDatabase();
    const clickFrom = (sequence: number, referrer: string) => ({ ...clickOn(1, 0, { referrer }), sequence });
    const merging = (...list: ShippedClick[]) =>
      merge({ segment: 'a', startedAtMs: 0, clicks: list }, database);
    await merging(clickFrom(1, 'one.example'));
    await merging(clickFrom(2, 'two.example'));
    await merging(clickFrom(3, 'three.example'), clickFrom(4, 'one.example'));
    const rows = await db
      .selectFrom('clicks')
      .leftJoin('words', 'words.id', 'clicks.referrer')
      .select(['clicks.referrer', 'words.text'])
      .orderBy('clicks.id')
      .execute();
    t.match(rows, [
      { text: 'one.example' },
      { text: 'two.example' },
      { referrer: 0, text: null },
      { text: 'one.example' },
    ]);
    const count = async () => (await db.selectFrom('clicks').select('id').execute()).length;
    await db.deleteFrom('clicks').execute();
    t.ok(await merging(clickFrom(4, 'one.example')), 'as after an answer that got lost');
    t.equal(await count(), 0, 'what was there and was removed does not come back');
    t.ok(await merging(clickFrom(5, 'four.example')));
    await db
      .updateTable('sequences')
      .set({ value: database + 1 })
      .where('name', '=', 'database')
      .execute();
    t.notOk(await merging(clickFrom(6, 'one.example')), 'nor does it take what is for another database');
    t.equal(await count(), 1);
  });

  await t.test('hosts that start together make one schema', async (t) => {
    const url = await server.createDatabase(t);
    const opened = await Promise.all(Array.from({ length: 5 }, () => openPostgres({ ...options, url })));
    for (const { db } of opened) {
      t.match(await db.selectFrom('schema_state').selectAll().execute(), [{ version: 2 }]);
    }
    for (const { close } of opened) await close();
  });

  await t.test(
    'after one question without an answer nobody waits for another connection of before',
    async (t) => {
      const told = { failed: 0 };
      const pool = createPool({
        url: await server.createDatabase(t),
        connectionsMax: 2,
        connectMs: 5000,
        answerMs: 300,
        onBroken: () => undefined,
        clock: systemClock,
        breaker: {
          mayAsk: () => true,
          succeeded: () => undefined,
          gaveUp: () => undefined,
          state: () => 'closed',
          failed: () => {
            told.failed++;
          },
        },
      });
      t.teardown(pool.end);
      const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
      const readPid = async (on: Kysely<Tables>): Promise<number> => {
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on);
        return (rows[0] as { pid: number }).pid;
      };
      const before = await db.connection().execute(async (one) => [await readPid(one), await readPid(db)]);
      t.equal(new Set(before).size, 2);
      server.freeze();
      await t.rejects(createPostgresDialect('links').transaction(db, readPid), /Query read timeout/);
      t.equal(told.failed, 1, 'what it had begun is not ended there');
      server.thaw();
      t.notOk(before.includes(await readPid(db)));
    },
  );

  await t.test('whoever waits for connections of our own others says nothing of the database', async (t) => {
    const breaker = createBreaker({ clock: systemClock, failuresMax: 1, openMs: 60_000 });
    const pool = createPool({
      url: await server.createDatabase(t),
      connectionsMax: 1,
      connectMs: 100,
      answerMs: 5000,
      onBroken: () => undefined,
      clock: systemClock,
      breaker,
    });
    t.teardown(pool.end);
    const held = await pool.connect();
    await t.rejects(pool.connect(), {
      code: 'unavailable',
      message: /connections of this host .* are in use/,
    });
    t.equal(breaker.state(), 'closed');
    held.release();
    (await pool.connect()).release();
  });

  await t.test('one of before a silence that is silent too makes nobody give up a later one', async (t) => {
    const pool = createPool({
      url: await server.createDatabase(t),
      connectionsMax: 3,
      connectMs: 5000,
      answerMs: 300,
      onBroken: () => undefined,
      clock: systemClock,
      breaker: createBreaker({ clock: systemClock, failuresMax: 100, openMs: 1 }),
    });
    t.teardown(pool.end);
    const ask = async (client: PostgresPoolClient, text: string) =>
      (await client.query<{ pid: number }>(text, [])).rows[0]?.pid;
    const [one, other] = [await pool.connect(), await pool.connect()];
    await t.rejects(ask(one, 'select pg_sleep(1)'), /Query read timeout/);
    const later = await pool.connect();
    const pid = await ask(later, 'select pg_backend_pid() as pid');
    later.release();
    await t.rejects(ask(other, 'select pg_sleep(1)'), /Query read timeout/);
    const again = await pool.connect();
    t.equal(await ask(again, 'select pg_backend_pid() as pid'), pid);
    for (const client of [one, other, again]) client.release();
  });

  await t.test('of a limit that changed or whose link is gone no more is taken than there is', async (t) => {
    const { db, links, close } = await openPostgres({ ...options, url: await server.createDatabase(t) });
    t.teardown(close);
    const book = createQuotaBook(db, links);
    const insertLink = (number: number, maxClicks: number | null) =>
      db
        .insertInto('links')
        .values({
          key: `k${number}`,
          domain: '',
          url: 'https://example.com/',
          status: 'active',
          redirect_status: 302,
          expires_at_ms: null,
          title: null,
          tags: '[]',
          version: 1,
          seq: number,
          created_by: 'test',
          created_at_ms: 0,
          updated_at_ms: 0,
          deleted_at_ms: null,
          released: 0,
          max_clicks: maxClicks,
          max_clicks_seq: 1,
          search: '',
        })
        .execute();
    await insertLink(1, 3);
    await insertLink(2, null);
    const limitOf = (linkId: number, clicksMax: number) => ({ linkId, clicksMax, setBySeq: 1 });
    t.equal(await book.take(limitOf(1, 5), 4), 3, 'the lower one of the two limits');
    t.equal(await book.take(limitOf(1, 5), 1), 0);
    t.equal(await book.take(limitOf(2, 5), 1), 1, 'one that was taken away meanwhile is as it was');
    t.equal(await book.take(limitOf(3, 5), 1), 0, 'there is no such link any more');
    t.same(await db.selectFrom('quotas').select(['link_id', 'used']).orderBy('link_id').execute(), [
      { link_id: 1, used: 3 },
      { link_id: 2, used: 1 },
    ]);
  });

  await t.test('a question after a server that went away is asked of the one that came back', async (t) => {
    const url = await server.createDatabase(t);
    const broken: Error[] = [];
    const { db, links, close } = await openPostgres({
      ...options,
      url,
      onBroken: (error) => broken.push(error),
    });
    t.teardown(close);
    const ask = () => createReading(links)(db.selectFrom('links').select('id').execute());
    t.same(await ask(), []);
    await server.kill();
    await t.rejects(ask(), { code: 'unavailable' });
    await server.start();
    t.same(await ask(), []);
  });
}

if (requireCommand(t, 'initdb')) await main(await startPostgres(t));
