/** What a table of ours looks like: read from SQLite, the same in both databases. */

import type Database from 'better-sqlite3';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Dialect, RowColumns } from '../dialect.ts';
import type { Tables } from '../tables.ts';

export interface TableShape {
  readonly name: string;
  readonly columns: RowColumns;
  /** The columns of its primary key, in their order. */
  readonly key: readonly string[];
}

/** The values of a row in the order of the columns. */
export type Row = readonly (number | string | Uint8Array | null)[];

const KINDS: Readonly<Record<string, RowColumns[string]>> = {
  INTEGER: 'number',
  BIGINT: 'number',
  TEXT: 'text',
  BLOB: 'bytes',
};

interface Column {
  readonly name: string;
  readonly type: string;
  /** Its place in the primary key, from 1; 0: it is not part of it. */
  readonly pk: number;
}

export function readShape(connection: Database.Database, name: string): TableShape {
  const columns = connection
    .prepare<[string], Column>('select name, type, pk from pragma_table_info(?)')
    .all(name);
  const kinds = columns.map((column): [string, RowColumns[string]] => {
    const kind = KINDS[column.type.toUpperCase()];
    if (kind === undefined)
      throw new Error(`${name}.${column.name} is a ${column.type}, which nobody moves.`);
    return [column.name, kind];
  });
  const key = columns.filter(({ pk }) => pk > 0).sort((one, other) => one.pk - other.pk);
  return { name, columns: Object.fromEntries(kinds), key: key.map((column) => column.name) };
}

export async function insertRows(
  db: Kysely<Tables>,
  { dialect, shape }: { readonly dialect: Dialect; readonly shape: TableShape },
  rows: readonly Row[],
): Promise<void> {
  const { name, columns } = shape;
  await sql`
    insert into ${sql.table(name)} (${refs(Object.keys(columns))}) overriding system value
    select * from ${dialect.rowsOf(columns, rows)} as given`.execute(db);
}

export function refs(names: readonly string[]): RawBuilder<unknown> {
  return sql.join(names.map((column) => sql.ref(column)));
}

export function quoteAll(names: readonly string[]): string {
  return names.map((column) => `"${column}"`).join(', ');
}
