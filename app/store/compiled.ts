/**
 * A query that is built and compiled once. Kysely does both anew for each call, which takes as long as SQLite takes to run
 * it: for what runs for each link of a batch that is a third of the batch.
 */

import type { CompiledQuery, Kysely } from 'kysely';
import type { Tables } from './tables.ts';

type Values = Readonly<Record<string, unknown>>;

export type Compiled<Given extends Values, Row> = (
  db: Kysely<Tables>,
  given: Given,
) => Promise<readonly Row[]>;

/**
 * The values of what is given must be the query's parameters, one by one in the order of their names. For one database:
 * another has other SQL.
 */
export function compileOnce<Given extends Values, Row>(
  build: (db: Kysely<Tables>, given: Given) => CompiledQuery<Row>,
): Compiled<Given, Row> {
  let known: { readonly query: CompiledQuery<Row>; readonly names: readonly string[] } | null = null;

  function compile(db: Kysely<Tables>, given: Given) {
    const query = build(db, given);
    const names = Object.keys(given);
    const isInOrder =
      names.length === query.parameters.length &&
      names.every((name, at) => given[name] === query.parameters[at]);
    if (!isInOrder) throw new Error(`The parameters of "${query.sql}" are not ${names.join(', ')}.`);
    return { query, names };
  }

  return async (db, given) => {
    known ??= compile(db, given);
    const { query, names } = known;
    const { rows } = await db.executeQuery<Row>({ ...query, parameters: names.map((name) => given[name]) });
    return rows;
  };
}
