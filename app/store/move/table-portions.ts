/**
 * A table in portions, each a range of its key: as values to insert, and as a text that both databases make by themselves, alike. No
 * row becomes an object here, which would take several times as long as all else.
 */

import { createHash } from 'node:crypto';
import type Database from 'better-sqlite3';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { RowColumns } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import { quoteAll, type Row, refs, type TableShape } from './table-shape.ts';

export interface Portion {
  /** The key of the last row before it; null: it begins with the table. */
  readonly after: Row | null;
  /** The key of its last row; null: it ends with the table, whatever stands there. */
  readonly upTo: Row | null;
  /** It has no more of them. */
  readonly rowsMax: number;
}

type Kind = RowColumns[string];

/** Where a portion of so many rows ends. */
export function findPortion(
  from: Database.Database,
  shape: TableShape,
  { after, rowsMax }: Pick<Portion, 'after' | 'rowsMax'>,
): Portion {
  const { where, values } = within(shape, { after, upTo: null });
  const keys = quoteAll(shape.key);
  const upTo = from
    .prepare<unknown[], Row>(
      `select ${keys} from "${shape.name}" where ${where} order by ${keys} limit 1 offset ?`,
    )
    .raw()
    .get(...values, rowsMax - 1);
  return { after, upTo: upTo ?? null, rowsMax };
}

export interface PortionValues {
  readonly rows: number;
  /** For each column its values, as PostgreSQL writes an array. */
  readonly arrays: readonly string[];
}

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
const ELEMENTS: Readonly<Record<Kind, (column: string) => string>> = {
  number: (column) => column,
  text: (column) => String.raw`'"' || replace(replace(${column}, '\', '\\'), '"', '\"') || '"'`,
  bytes: (column) => String.raw`'"\\x' || hex(${column}) || '"'`,
};

export function readValues(from: Database.Database, shape: TableShape, portion: Portion): PortionValues {
  const arrays = Object.entries(shape.columns).map(([name, kind]) => {
    const column = `"${name}"`;
    return `'{' || ifnull(group_concat(iif(${column} is null, 'null', ${ELEMENTS[kind](column)}), ','), '') || '}'`;
  });
  const [rows, ...texts] = readPortion(from, shape, {
    portion,
    each: '*',
    all: `count(*), ${arrays.join(', ')}`,
  });
  return { rows: rows as number, arrays: texts as string[] };
}

const ARRAYS: Readonly<Record<Kind, RawBuilder<unknown>>> = {
  number: sql`bigint[]`,
  text: sql`text[]`,
  bytes: sql`bytea[]`,
};

export async function insertValues(
  db: Kysely<Tables>,
  { name, columns }: TableShape,
  { arrays }: PortionValues,
): Promise<void> {
  const given = Object.values(columns).map((kind, index) => sql`cast(${arrays[index]} as ${ARRAYS[kind]})`);
  await sql`
    insert into ${sql.table(name)} (${refs(Object.keys(columns))}) overriding system value
    select * from unnest(${sql.join(given)})`.execute(db);
}

/** SHA-256 of a portion's text; null: it has no rows. */
export type Digest = string | null;

export function digestHere(
  from: Database.Database,
  shape: TableShape,
  portion: Portion,
): { readonly rows: number; readonly digest: Digest } {
  const [rows, text] = readPortion(from, shape, {
    portion,
    each: `${toText(shape, (column) => `lower(hex(${column}))`)} as line`,
    all: "count(*), cast(group_concat(line, '') as blob)",
  }) as [number, Buffer | null];
  return { rows, digest: text && createHash('sha256').update(text).digest('hex') };
}

export async function digestThere(db: Kysely<Tables>, shape: TableShape, portion: Portion): Promise<Digest> {
  const text = sql.raw(toText(shape, (column) => `encode(${column}, 'hex')`));
  const { rows } = await sql<{ digest: Digest }>`
    select encode(sha256(convert_to(string_agg(line, ''), 'UTF8')), 'hex') as digest
    from (select ${text} as line ${thatIs(shape, portion)}) as lines`.execute(db);
  return rows[0]?.digest ?? null;
}

/**
 * A row as text that no other row has. A number ends at a comma, and where there is none stands nothing; all else says first how
 * long it is, and where there is none it does not.
 */
function toText({ columns }: TableShape, toHex: (column: string) => string): string {
  const parts = Object.entries(columns).map(([name, kind]) => {
    const column = `"${name}"`;
    if (kind === 'number') return `${column}, ','`;
    return `length(${column}), ':', ${kind === 'text' ? column : toHex(column)}, ','`;
  });
  return `concat(${parts.join(', ')})`;
}

/** `all` of what is `each` of the portion's rows, in the order of their key. */
function readPortion(
  from: Database.Database,
  shape: TableShape,
  { portion, each, all }: { readonly portion: Portion; readonly each: string; readonly all: string },
): unknown[] {
  const { where, values } = within(shape, portion);
  // Without the limit SQLite may leave the order out, and read to the end of the table.
  const rows = `select ${each} from "${shape.name}" where ${where} order by ${quoteAll(shape.key)} limit ?`;
  return from
    .prepare<unknown[], unknown[]>(`select ${all} from (${rows})`)
    .raw()
    .get(...values, portion.rowsMax) as unknown[];
}

/** The condition that a row of a file is in a portion, and its values. */
function within(
  { key }: TableShape,
  { after, upTo }: Pick<Portion, 'after' | 'upTo'>,
): { readonly where: string; readonly values: Row } {
  const keys = `(${quoteAll(key)})`;
  const places = `(${key.map(() => '?').join(', ')})`;
  const conditions = ['true'];
  if (after !== null) conditions.push(`${keys} > ${places}`);
  if (upTo !== null) conditions.push(`${keys} <= ${places}`);
  return { where: conditions.join(' and '), values: [...(after ?? []), ...(upTo ?? [])] };
}

/** The end of a question for the rows of a portion in the shared database, in the order of their key. */
function thatIs({ name, columns, key }: TableShape, { after, upTo, rowsMax }: Portion): RawBuilder<unknown> {
  // In the order in which SQLite has texts: that of their bytes.
  const keys = sql.join(
    key.map((part) => (columns[part] === 'text' ? sql`${sql.ref(part)} collate "C"` : sql.ref(part))),
  );
  const behind = after === null ? sql`true` : sql`(${keys}) > (${sql.join(after)})`;
  const before = upTo === null ? sql`true` : sql`(${keys}) <= (${sql.join(upTo)})`;
  // With one too many it differs. Without a limit the planner takes it for much of the table, and reads and sorts all of that.
  return sql`from ${sql.table(name)} where ${behind} and ${before} order by ${keys} limit ${rowsMax + 1}`;
}

export function readRowsHere(from: Database.Database, shape: TableShape, portion: Portion): Row[] {
  const { where, values } = within(shape, portion);
  return from
    .prepare<unknown[], Row>(
      `select ${quoteAll(Object.keys(shape.columns))} from "${shape.name}" where ${where} order by ${quoteAll(shape.key)}`,
    )
    .raw()
    .all(...values);
}

export async function readRowsThere(db: Kysely<Tables>, shape: TableShape, portion: Portion): Promise<Row[]> {
  const names = Object.keys(shape.columns);
  const { rows } = await sql<Record<string, Row[number]>>`
    select ${refs(names)} ${thatIs(shape, portion)}`.execute(db);
  return rows.map((row) => names.map((column) => row[column] as Row[number]));
}
