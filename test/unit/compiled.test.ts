import Database from 'better-sqlite3';
import { Kysely, SqliteDialect, sql } from 'kysely';
import t, { type Test } from 'tap';
import { compileOnce } from '../../app/store/compiled.ts';
import type { Tables } from '../../app/store/tables.ts';

interface Row extends Record<string, unknown> {
  readonly name: string;
  readonly value: number | null;
}

function open(t: Test) {
  const connection = new Database(':memory:');
  t.teardown(() => connection.close());
  connection.exec('create table host_state (name text primary key, value integer)');
  const texts: string[] = [];
  const database = {
    prepare: (text: string) => {
      texts.push(text);
      return connection.prepare(text);
    },
    close: () => undefined,
  };
  return { db: new Kysely<Tables>({ dialect: new SqliteDialect({ database }) }), texts };
}

const insert = (db: Kysely<Tables>, { name, value }: Row) =>
  sql<Row>`insert into host_state (name, value) values (${name}, ${value})
    on conflict do nothing returning *`.compile(db);

t.test('a query is built once and run with the values of each call', async (t) => {
  const { db, texts } = open(t);
  let built = 0;
  const run = compileOnce((on, row: Row) => {
    built += 1;
    return insert(on, row);
  });
  const rows = [
    { name: 'a', value: 1 },
    { name: 'b', value: null },
    { name: 'a', value: 2 },
  ];
  t.same(await Promise.all(rows.map((row) => run(db, row))), [[rows[0]], [rows[1]], []]);
  t.equal(built, 1);
  t.equal(new Set(texts).size, 1);
});

t.test('values are told apart by their names, not by where they stand', async (t) => {
  const { db } = open(t);
  const run = compileOnce(insert);
  await run(db, { name: 'a', value: 1 });
  t.same(await run(db, { value: 2, name: 'b' }), [{ name: 'b', value: 2 }]);
});

t.test('a query whose parameters are not what is given is refused before it runs', async (t) => {
  const { db, texts } = open(t);
  const queries: Readonly<Record<string, (on: Kysely<Tables>, row: Row) => ReturnType<typeof insert>>> = {
    'in another order': (on, row) => sql<Row>`select ${row.value}, ${row.name}`.compile(on),
    fewer: (on, row) => sql<Row>`select ${row.name}`.compile(on),
    more: (on, row) => sql<Row>`select ${row.name}, ${row.value}, ${0}`.compile(on),
  };
  for (const [how, query] of Object.entries(queries)) {
    await t.rejects(
      compileOnce(query)(db, { name: 'a', value: 1 }),
      { message: /^The parameters of "select .*" are not name, value\.$/ },
      how,
    );
  }
  t.same(texts, []);
});
