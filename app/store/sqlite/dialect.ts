/**
 * SQLite's side of the dialect: immediate transactions that are retried while another process writes, full-text search
 * over trigrams, and what SQLite's error codes mean.
 */

import Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import { waitForLock } from '../../kernel/busy-wait.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import { compileOnce } from '../compiled.ts';
import type { Dialect, IdSource, RowValues } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import { checkpointWhenDue } from './checkpoint.ts';

/** How long a write waits for another process's write before it is answered with 503. */
const BUSY_BUDGET_MS = 5000;

export interface SqliteDialectDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export function createSqliteDialect({ clock, random }: SqliteDialectDeps): Dialect {
  const insertSearchText = compileOnce((db, { id, text }: { id: number; text: string }) =>
    sql`insert into link_search (rowid, text) values (${id}, ${text})`.compile(db),
  );

  return {
    idType: 'integer',
    idColumn: (column) => column.primaryKey().autoIncrement(),
    numberType: 'integer',
    bytesType: 'blob',
    keyType: 'text',
    clustered: sql`without rowid`,

    async hasTable(db, name) {
      const { rows } = await sql`select 1 from sqlite_schema where type = 'table' and name = ${name}`.execute(
        db,
      );
      return rows.length > 0;
    },

    transaction(db, work) {
      return db.connection().execute(async (connection) => {
        await retryWhileBusy(() => sql`begin immediate`.execute(connection), { clock, random });
        try {
          const result = await work(connection);
          await sql`commit`.execute(connection);
          return result;
        } catch (error) {
          await unlessOver(sql`rollback`.execute(connection));
          throw error;
        }
      });
    },

    afterCommit: checkpointWhenDue,

    async eraseDeleted(db) {
      // Pages as they were lie in the WAL until it is begun anew.
      await sql`pragma wal_checkpoint(truncate)`.execute(db);
    },

    undoTo: (connection, savepoint) =>
      unlessOver(sql`rollback to savepoint ${sql.id(savepoint)}`.execute(connection)),

    async databaseBytes(db) {
      const { rows } = await sql<{ bytes: number }>`
        select page_count * page_size as bytes from pragma_page_count, pragma_page_size`.execute(db);
      return (rows[0] as { bytes: number }).bytes;
    },

    // It stays, so that the statements that use it stay prepared.
    async openScratch(db, name, columns) {
      await sql`create temporary table if not exists ${sql.table(name)} (${columns})`.execute(db);
      await sql`delete from ${sql.table(name)}`.execute(db);
    },

    translateError: translateSqliteError,

    async createSearchIndex(db) {
      // Contentless: the text itself stands in `links.search`. Trigrams find any part of it from three characters on; where
      // in the text they stand (`detail`) nobody asks, and it would be three quarters of the index.
      await sql`create virtual table link_search using fts5
        (text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1')`.execute(
        db,
      );
    },

    async indexSearchText(db, { id, text, isNew }) {
      if (!isNew) await sql`delete from link_search where rowid = ${id}`.execute(db);
      if (text !== null) await insertSearchText(db, { id, text });
    },

    searchSource,

    matchesText: (needle) => sql`instr(links.search, ${needle}) > 0`,

    nowMs: (callerMs) => sql`${callerMs}`,

    idsIn: (ids) => sql`(select value from json_each(${JSON.stringify(ids)}))`,

    rowsOf(columns, rows) {
      const selected = Object.entries(columns).map(([name, type], index) => {
        const value = sql`value ->> ${sql.lit(index)}`;
        return sql`${type === 'bytes' ? sql`unhex(${value})` : value} as ${sql.ref(name)}`;
      });
      return sql`(select ${sql.join(selected)} from json_each(${JSON.stringify(rows.map(toJsonRow))}))`;
    },
  };
}

/** JSON has no bytes: they travel as hexadecimal digits. */
function toJsonRow(row: RowValues): unknown[] {
  return row.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value));
}

/** SQLite's name for "there is no transaction" and "there is no such savepoint", of statements that cannot be misspelt. */
const NOTHING_TO_UNDO = 'SQLITE_ERROR';

/** A full disk ends the transaction by itself; then there is nothing to undo and SQLite says so. */
async function unlessOver(undoing: Promise<unknown>): Promise<boolean> {
  try {
    await undoing;
    return true;
  } catch (error) {
    if (error instanceof Database.SqliteError && error.code === NOTHING_TO_UNDO) return false;
    throw error;
  }
}

const TRIGRAM = 3;
/** Entries of each trigram's list that are looked at to guess which list is short: at most 20,000 for a search. */
const SAMPLE = 100;
/** Entries that one reading of several lists may step over: about 20 ms. */
const ENTRIES_MAX = 400_000;
/** More lists than this exclude hardly any row more. */
const TRIGRAMS_MAX = 8;

/**
 * FTS5 looks for a phrase, or for several words, by walking all their lists side by side until they agree, and a limit or
 * a range of ids does not stop it before. One list alone is walked from any place at once: so a walk follows the rarest
 * trigram, and only reading a source once uses as many as may be walked to their ends.
 */
async function searchSource(db: Kysely<Tables>, needle: string): Promise<IdSource | null> {
  const [rarest, ...others] = await sortByRarity(db, trigramsOf(needle));
  if (rarest === undefined) return null;
  const { rows } = await sql<{ last: number | null }>`select max(id) as last from links`.execute(db);
  const count = Math.min(TRIGRAMS_MAX, Math.floor(ENTRIES_MAX / (rows[0]?.last ?? 1)));
  const matches = (words: readonly string[]) => sql<boolean>`link_search match ${words.join(' AND ')}`;
  return {
    id: sql`link_search.rowid`,
    from: sql`link_search`,
    where: matches([rarest]),
    narrowed: matches([rarest, ...others.slice(0, Math.max(0, count - 1))]),
  };
}

/** Each part of three characters once, quoted for FTS5. */
function trigramsOf(needle: string): string[] {
  const characters = [...needle];
  const trigrams = characters.slice(TRIGRAM - 1).map((_, at) => characters.slice(at, at + TRIGRAM).join(''));
  return [...new Set(trigrams)].map((trigram) => `"${trigram.replaceAll('"', '""')}"`);
}

/** The further the first entries of a list reach, the rarer its trigram; a list that ends before is the shortest. */
async function sortByRarity(db: Kysely<Tables>, trigrams: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ trigram: string }>`
    select value as trigram,
      (select rowid from link_search where link_search match value order by rowid limit 1 offset ${SAMPLE}) as reach
    from json_each(${JSON.stringify(trigrams)})
    order by reach desc nulls first`.execute(db);
  return rows.map(({ trigram }) => trigram);
}

/** Tries again while another process writes. Throws the driver's errors, also that it took too long. */
export async function retryWhileBusy(
  work: () => unknown,
  { clock, random }: SqliteDialectDeps,
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + BUSY_BUDGET_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!isBusy(error) || clock.monotonicMs() >= deadlineMs) throw error;
    }
    await waitForLock(clock, random);
  }
}

/** Another process writes just now. */
export function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

const SENTENCES: Readonly<Record<string, string>> = {
  SQLITE_BUSY: 'Another process is writing to the database. Try again in a moment.',
  SQLITE_FULL: 'The disk is full. Links still redirect; free some space to make new ones.',
  SQLITE_IOERR: 'The disk does not answer as it should. Links that can be read still redirect.',
  SQLITE_READONLY: 'The database cannot be written to. Links still redirect.',
  SQLITE_CORRUPT: 'The database is damaged. Stop the service and restore a backup.',
  SQLITE_NOTADB: 'The database is damaged. Stop the service and restore a backup.',
  SQLITE_CANTOPEN: 'The database cannot be opened.',
  // The only triggers there are: store/move/freeze.ts.
  SQLITE_CONSTRAINT_TRIGGER:
    'The links move to another database and cannot be changed just now. Links still redirect; try again in a minute.',
};

/** Codes: https://www.sqlite.org/rescode.html. Extended codes begin with the primary one. */
export function translateSqliteError(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const primary = error.code.split('_', 2).join('_');
  const sentence = SENTENCES[error.code] ?? SENTENCES[primary];
  if (sentence === undefined) return error;
  return new AppError('unavailable', sentence, { cause: error, retryAfterSeconds: 1 });
}
