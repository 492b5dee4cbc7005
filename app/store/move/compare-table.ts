/**
 * Holds a table against the same one in the shared database: all of its rows, all of their bytes. Both databases make a digest of
 * the same portion at the same time; only where those differ rows are read, to name the first that does.
 */

import { createHash } from 'node:crypto';
import type Database from 'better-sqlite3';
import type { Kysely } from 'kysely';
import { StartError } from '../../kernel/errors.ts';
import { nextTurn } from '../../kernel/portions.ts';
import type { Tables } from '../tables.ts';
import {
  type Digest,
  digestHere,
  digestThere,
  findPortion,
  type Portion,
  readRowsHere,
  readRowsThere,
} from './table-portions.ts';
import type { Row, TableShape } from './table-shape.ts';

export interface CompareDeps {
  readonly from: Database.Database;
  readonly to: Kysely<Tables>;
  /** Told how many rows of the table are the same. */
  readonly onRows: (rows: number) => void;
}

export interface Compared {
  readonly table: string;
  readonly rows: number;
  /** SHA-256 of the digests of its portions; the same on both sides. */
  readonly digest: string;
}

/** About 10 ms on each side. A text may be of many thousand characters. */
const ROWS_MAX = { ofNumbers: 10_000, withTexts: 1000 };

interface Asked {
  readonly portion: Portion;
  readonly there: Promise<Digest>;
}

/** Throws StartError with a sentence that names the first rows that differ. */
export async function compareTable({ from, to, onRows }: CompareDeps, shape: TableShape): Promise<Compared> {
  const rowsMax = Object.values(shape.columns).includes('text') ? ROWS_MAX.withTexts : ROWS_MAX.ofNumbers;
  const ask = (after: Row | null): Asked => {
    const portion = findPortion(from, shape, { after, rowsMax });
    const there = digestThere(to, shape, portion);
    // Whoever awaits it is told, unless a portion before it has ended all of it.
    there.catch(() => undefined);
    return { portion, there };
  };
  const digests = createHash('sha256');
  let done = 0;
  for (let asked: Asked | null = ask(null); asked !== null; ) {
    const { portion, there }: Asked = asked;
    asked = portion.upTo === null ? null : ask(portion.upTo);
    // The shared database is at work from here on.
    await nextTurn();
    const here = digestHere(from, shape, portion);
    if (here.digest !== (await there)) throw await findDifference({ from, to }, shape, portion);
    digests.update(here.digest ?? '');
    done += here.rows;
    onRows(done);
  }
  return { table: shape.name, rows: done, digest: digests.digest('hex') };
}

async function findDifference(
  { from, to }: Pick<CompareDeps, 'from' | 'to'>,
  shape: TableShape,
  portion: Portion,
): Promise<Error> {
  const here = readRowsHere(from, shape, portion).map(toLine);
  const there = (await readRowsThere(to, shape, portion)).map(toLine);
  const place = Array.from({ length: Math.max(here.length, there.length) }).findIndex(
    (_, index) => here[index] !== there[index],
  );
  const what =
    place === -1
      ? `bytes that read the same differ between ${here[0]} and ${here.at(-1)}`
      : `${here[place] ?? 'nothing'} here, ${there[place] ?? 'nothing'} in the shared database`;
  return new StartError(
    `${shape.name} is not the same on both sides: ${what}. Empty that database and type the same command again.`,
  );
}

function toLine(row: Row): string {
  return JSON.stringify(
    row.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)),
  );
}
