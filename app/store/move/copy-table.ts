/** Copies a table that does not change, in portions: each in one transaction with the place it came to, so that it goes on there. */

import type Database from 'better-sqlite3';
import type { Kysely } from 'kysely';
import { nextTurn } from '../../kernel/portions.ts';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { MoveLog } from './move-log.ts';
import { findPortion, insertValues, type Portion, type PortionValues, readValues } from './table-portions.ts';
import type { Row, TableShape } from './table-shape.ts';

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
/** Long links take the index of their search texts a second for each million of characters. */
const CHARACTERS_MAX = 2_000_000;

export async function copyTable(
  { from, to, dialect, log, onRows }: CopyDeps,
  shape: TableShape,
): Promise<void> {
  const start = await log.readPlace(to, shape.name);
  let done = start.rows;
  onRows(done);
  let given = start.isWhole ? null : readGiven(from, shape, start.after);
  while (given !== null) {
    const { portion, values }: Given = given;
    const { upTo } = portion;
    done += values.rows;
    given = await dialect.transaction(to, async (db) => {
      const [, next] = await Promise.all([
        insertValues(db, shape, values),
        // Read while the database writes.
        nextTurn().then(() => (upTo === null ? null : readGiven(from, shape, upTo))),
      ]);
      await log.writePlace(db, shape.name, { after: upTo, rows: done, isWhole: upTo === null });
      return next;
    });
    onRows(done);
  }
}

interface Given {
  readonly portion: Portion;
  readonly values: PortionValues;
}

/** Fewer rows where they are long. */
function readGiven(from: Database.Database, shape: TableShape, after: Row | null, rowsMax = ROWS_MAX): Given {
  const portion = findPortion(from, shape, { after, rowsMax });
  const values = readValues(from, shape, portion);
  const characters = values.arrays.reduce((sum, { length }) => sum + length, 0);
  if (characters <= CHARACTERS_MAX || values.rows === 1) return { portion, values };
  const fewer = Math.floor((values.rows * CHARACTERS_MAX) / characters);
  return readGiven(from, shape, after, Math.max(fewer, 1));
}

/** A small one, which may have changed since the last time: as it is now, all of it. */
export async function replaceTable(
  { from, to, dialect }: Pick<CopyDeps, 'from' | 'to' | 'dialect'>,
  shape: TableShape,
): Promise<void> {
  await dialect.transaction(to, async (db) => {
    await db.deleteFrom(shape.name as keyof Tables).execute();
    let after: Row | null = null;
    do {
      const { portion, values }: Given = readGiven(from, shape, after);
      await insertValues(db, shape, values);
      after = portion.upTo;
    } while (after !== null);
  });
}
