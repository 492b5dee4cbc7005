import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect, sql } from 'kysely';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import {
  decideMigration,
  type MigrateMode,
  migrate,
  readSchemaState,
  type Schema,
} from '../../app/store/migrations/migrate.ts';
import type { Migration } from '../../app/store/migrations/migration.ts';
import { CLICK_SCHEMA, LINK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import type { Tables } from '../../app/store/tables.ts';

const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });

function open(t: Test, path: string): Kysely<Tables> {
  const database = new Database(path, { timeout: 0 });
  t.teardown(() => database.close());
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database }) });
}

/** A migration that makes a table, and fails when it runs a second time. */
function makingTable(version: number, readableFrom: number, runs: number[] = []): Migration {
  return {
    version,
    readableFrom,
    async up(db) {
      runs.push(version);
      await sql`create table ${sql.table(`made_by_${version}`)} (id integer)`.execute(db);
    },
  };
}

const ONE = makingTable(1, 1);
const TWO = makingTable(2, 1);
const CONTRACT = makingTable(3, 3);
const NAME = 'test.db';

function schemaOf(migrations: readonly Migration[]): Schema {
  return { stateTable: 'schema_state', migrations };
}

const CHECK_SENTENCE = (found: string, needed: number) =>
  `test.db has schema ${found} and this release needs ${needed}, but MIGRATE=check forbids migrating at start. ` +
  'Run the migration as a step of the deploy, or start with MIGRATE=auto.';

t.test('what to do follows from the two numbers and the mode', async (t) => {
  const decide = (state: readonly [number, number] | null, code: number, mode: MigrateMode) => {
    try {
      const found = state && { version: state[0], readableFrom: state[1] };
      return decideMigration(found, code, { mode, name: NAME });
    } catch (error) {
      return String(error);
    }
  };
  const newer =
    'StartError: test.db has schema 3, which needs a release that knows schema 3 or later; this one knows 2. ' +
    'Start a newer release, or restore a backup made by this one.';
  const cases = [
    [null, 2, 'migrate', `StartError: ${CHECK_SENTENCE('none', 2)}`],
    [[1, 1], 2, 'migrate', `StartError: ${CHECK_SENTENCE('1', 2)}`],
    [[2, 1], 2, 'ready', 'ready'],
    [[3, 1], 2, 'ready', 'ready'],
    [[3, 2], 2, 'ready', 'ready'],
    [[3, 3], 2, newer, newer],
  ] as const;
  for (const [state, code, auto, check] of cases) {
    t.same([decide(state, code, 'auto'), decide(state, code, 'check')], [auto, check], JSON.stringify(state));
  }
});

t.test(
  'our migrations are numbered without a gap, and readable by no later code than their own',
  async (t) => {
    for (const { migrations } of [LINK_SCHEMA, CLICK_SCHEMA]) {
      t.same(
        migrations.map(({ version }) => version),
        migrations.map((_, index) => index + 1),
      );
      t.ok(migrations.every(({ version, readableFrom }) => readableFrom <= version));
    }
  },
);

t.test('an empty database gets every migration, an older one what it lacks', async (t) => {
  const db = open(t, `${t.testdir()}/test.db`);
  const runs: number[] = [];
  const one = makingTable(1, 1, runs);
  const two = makingTable(2, 1, runs);
  const run = (migrations: readonly Migration[], mode: MigrateMode = 'auto') =>
    migrate(db, dialect, { mode, schema: schemaOf(migrations), name: NAME });

  await t.rejects(run([one], 'check'), { name: 'StartError', message: CHECK_SENTENCE('none', 1) });
  t.equal(await readSchemaState(db, dialect, 'schema_state'), null);
  t.same(await run([one]), { version: 1, readableFrom: 1 });
  t.same(await run([one]), { version: 1, readableFrom: 1 });
  t.same(await run([one], 'check'), { version: 1, readableFrom: 1 });
  await t.rejects(run([one, two], 'check'), { message: CHECK_SENTENCE('1', 2) });
  t.same(await run([one, two]), { version: 2, readableFrom: 1 });
  t.same(runs, [1, 2]);
  t.ok(await dialect.hasTable(db, 'made_by_2'));
});

t.test('after an expand migration older code still starts, after a contract one it does not', async (t) => {
  const db = open(t, `${t.testdir()}/test.db`);
  const run = (migrations: readonly Migration[]) =>
    migrate(db, dialect, { mode: 'auto', schema: schemaOf(migrations), name: NAME });
  await run([ONE, TWO]);
  t.same(await run([ONE]), { version: 2, readableFrom: 1 });
  await run([ONE, TWO, CONTRACT]);
  await t.rejects(run([ONE, TWO]), {
    name: 'StartError',
    message:
      'test.db has schema 3, which needs a release that knows schema 3 or later; this one knows 2. ' +
      'Start a newer release, or restore a backup made by this one.',
  });
});

t.test('a migration that fails leaves the schema as it was', async (t) => {
  const db = open(t, `${t.testdir()}/test.db`);
  const failing: Migration = {
    version: 2,
    readableFrom: 1,
    async up(connection) {
      await sql`create table half (id integer)`.execute(connection);
      throw new Error('in the middle');
    },
  };
  const options = { mode: 'auto', schema: schemaOf([ONE, failing]), name: NAME } as const;
  await t.rejects(migrate(db, dialect, options), { message: 'in the middle' });
  t.same(await readSchemaState(db, dialect, 'schema_state'), { version: 1, readableFrom: 1 });
  t.notOk(await dialect.hasTable(db, 'half'));
});

t.test('a schema table without its row counts as none', async (t) => {
  const db = open(t, `${t.testdir()}/test.db`);
  await sql`create table schema_state (one integer primary key, version integer, readable_from integer)`.execute(
    db,
  );
  t.equal(await readSchemaState(db, dialect, 'schema_state'), null);
  t.same(await migrate(db, dialect, { mode: 'auto', schema: schemaOf([ONE]), name: NAME }), {
    version: 1,
    readableFrom: 1,
  });
});

t.test('without any migration there is no schema to start on', async (t) => {
  const db = open(t, `${t.testdir()}/test.db`);
  await t.rejects(migrate(db, dialect, { mode: 'auto', schema: schemaOf([]), name: NAME }), {
    name: 'StartError',
    message: 'test.db has no schema after migrating.',
  });
});

t.test('several openers of one process at once migrate once', async (t) => {
  const path = `${t.testdir()}/test.db`;
  const runs: number[] = [];
  const migrations = [makingTable(1, 1, runs), makingTable(2, 1, runs)];
  const openers = Array.from({ length: 4 }, () => open(t, path));
  const states = await Promise.all(
    openers.map((db) => migrate(db, dialect, { mode: 'auto', schema: schemaOf(migrations), name: NAME })),
  );
  t.same(states, Array(4).fill({ version: 2, readableFrom: 1 }));
  t.same(runs, [1, 2]);
});

const OPEN_STORE = `
  import { openStore } from '${pathToFileURL(resolve('test/support/store.ts')).href}';
  const store = await openStore({ dataDir: process.argv[1] });
  const first = await store.links.takeNumbers(1);
  await store.close();
  process.stdout.write(String(first));
`;

t.test('several processes that make a database at once all start on it', async (t) => {
  for (let round = 0; round < 3; round++) {
    const dataDir = t.testdir();
    const answers = await Promise.all(Array.from({ length: 4 }, () => runModule(OPEN_STORE, dataDir)));
    t.same(answers.toSorted(), ['1', '2', '3', '4']);
  }
});

function runModule(source: string, argument: string): Promise<string> {
  const args = ['--import=./scripts/strip-types.mjs', '--input-type=module', '--eval', source, argument];
  return new Promise((done, fail) => {
    execFile(process.execPath, args, (error, stdout, stderr) =>
      error ? fail(new Error(stderr)) : done(stdout),
    );
  });
}
