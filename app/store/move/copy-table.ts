/** Copies a table that does not change, in portions: each in one transaction with the place it came to, so that it goes on there. */

import { createHash } from 'node:crypto';
import type Database from 'better-sqlite3';
import type { Kysely } from 'kysely';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { MoveLog } from './move-log.ts';
import {
  createRowReader,
  insertRows,
  keyOf,
  type Row,
  readSharedRows,
  type TableShape,
} from './table-shape.ts';

export interface CopyDeps {
  readonly from: Database.Database;
  readonly to: Kysely<Tables>;
  readonly dialect: Dialect;
  readonly log: MoveLog;
  /** Told how many rows of the table are done. */
  readonly onRows: (rows: number) => void;
}

/** About 50 ms. */
const ROWS_MAX = 5000;

export async function copyTable(
  { from, to, dialect, log, onRows }: CopyDeps,
  shape: TableShape,
): Promise<void> {
  const read = createRowReader(from, shape);
  let { after, rows: done } = await log.readPlace(to, shape.name);
  onRows(done);
  for (;;) {
    const rows = read(after, ROWS_MAX);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = keyOf(shape, last);
    done += rows.length;
    const place = { after, rows: done };
    await dialect.transaction(to, async (db) => {
      await insertRows(db, { dialect, shape }, rows);
      await log.writePlace(db, shape.name, place);
    });
    onRows(done);
  }
}

/** Small ones, which may have changed since the last time: as they are now, all of it. */
export async function replaceTable(
  { from, to, dialect }: Pick<CopyDeps, 'from' | 'to' | 'dialect'>,
  shape: TableShape,
): Promise<void> {
  const read = createRowReader(from, shape);
  await dialect.transaction(to, async (db) => {
    await db.deleteFrom(shape.name as keyof Tables).execute();
    let after: Row | null = null;
    for (;;) {
      const rows: Row[] = read(after, ROWS_MAX);
      const last = rows.at(-1);
      if (last === undefined) return;
      await insertRows(db, { dialect, shape }, rows);
      after = keyOf(shape, last);
    }
  });
}

export interface Compared {
  readonly table: string;
  readonly rows: number;
  /** SHA-256 of all rows in the order of their key; the same on both sides. */
  readonly digest: string;
}

/** Reads all of a table on both sides. Throws a sentence that names the first rows that differ. */
export async function compareTable(
  { from, to, onRows }: Pick<CopyDeps, 'from' | 'to' | 'onRows'>,
  shape: TableShape,
): Promise<Compared> {
  const read = createRowReader(from, shape);
  const hash = createHash('sha256');
  let done = 0;
  let after: Row | null = null;
  for (;;) {
    const rows: Row[] = read(after, ROWS_MAX);
    const shared = await readSharedRows(to, shape, { after, rowsMax: ROWS_MAX });
    const [text, sharedText] = [toText(rows), toText(shared)];
    if (text !== sharedText) throw new Error(describeDifference(shape.name, rows, shared));
    const last = rows.at(-1);
    if (last === undefined) return { table: shape.name, rows: done, digest: hash.digest('hex') };
    hash.update(text);
    done += rows.length;
    after = keyOf(shape, last);
    onRows(done);
  }
}

function toText(rows: readonly Row[]): string {
  return rows.map(toLine).join('');
}

function toLine(row: Row): string {
  const values = row.map((value) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );
  return `${JSON.stringify(values)}\n`;
}

function describeDifference(table: string, rows: readonly Row[], shared: readonly Row[]): string {
  const lines = rows.map(toLine);
  const place = lines.findIndex((line, index) => line !== toText(shared.slice(index, index + 1)));
  const [here, there] = [rows, shared].map(
    (side) => toText(side.slice(place).slice(0, 1)).trim() || 'nothing',
  );
  return `${table} is not the same on both sides: ${here} here, ${there} in the shared database.`;
}
