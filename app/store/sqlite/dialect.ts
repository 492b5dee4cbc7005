/**
 * SQLite's side of the dialect: immediate transactions that are retried while another process writes, full-text search
 * over trigrams, and what SQLite's error codes mean.
 */

import Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import type { Clock } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';

/** How long a write waits for another process's write before it is answered with 503. */
const BUSY_BUDGET_MS = 5000;
/** A growing wait starves one of two writers (measured: 232 ms); about 1 ms with jitter does not. */
const BUSY_WAIT_MS = 1;

export interface SqliteDialectDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export function createSqliteDialect({ clock, random }: SqliteDialectDeps): Dialect {
  async function beginImmediate(connection: Kysely<Tables>): Promise<void> {
    const deadlineMs = clock.nowMs() + BUSY_BUDGET_MS;
    for (;;) {
      try {
        await sql`begin immediate`.execute(connection);
        return;
      } catch (error) {
        if (!isBusy(error) || clock.nowMs() >= deadlineMs) throw error;
      }
      await clock.sleep(BUSY_WAIT_MS * (0.5 + random()));
    }
  }

  return {
    idType: 'integer',
    idColumn: (column) => column.primaryKey().autoIncrement(),

    async hasTable(db, name) {
      const { rows } = await sql`select 1 from sqlite_schema where type = 'table' and name = ${name}`.execute(
        db,
      );
      return rows.length > 0;
    },

    transaction(db, work) {
      return db.connection().execute(async (connection) => {
        await beginImmediate(connection);
        try {
          const result = await work(connection);
          await sql`commit`.execute(connection);
          return result;
        } catch (error) {
          await rollback(connection);
          throw error;
        }
      });
    },

    translateError: translateSqliteError,

    async createSearchIndex(db) {
      // Contentless: the text itself stands in `links.search`. Trigrams find any part of it from three characters on.
      await sql`create virtual table link_search using fts5
        (text, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1')`.execute(db);
    },

    async indexSearchText(db, { id, text, isNew }) {
      if (!isNew) await sql`delete from link_search where rowid = ${id}`.execute(db);
      if (text !== null) await sql`insert into link_search (rowid, text) values (${id}, ${text})`.execute(db);
    },

    searchSource(needle) {
      if ([...needle].length < TRIGRAM) return null;
      const phrase = `"${needle.replaceAll('"', '""')}"`;
      return {
        id: sql`link_search.rowid`,
        from: sql`link_search`,
        where: sql`link_search match ${phrase}`,
      };
    },

    matchesText: (needle) => sql`instr(links.search, ${needle}) > 0`,
  };
}

const TRIGRAM = 3;

/** A full disk ends the transaction by itself; then there is nothing to roll back and SQLite says so. */
async function rollback(connection: Kysely<Tables>): Promise<void> {
  try {
    await sql`rollback`.execute(connection);
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
  }
}

function isBusy(error: unknown): boolean {
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
};

/** Codes: https://www.sqlite.org/rescode.html. Extended codes begin with the primary one. */
export function translateSqliteError(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const primary = error.code.split('_', 2).join('_');
  const sentence = SENTENCES[primary];
  if (sentence === undefined) return error;
  return new AppError('unavailable', sentence, { cause: error, retryAfterSeconds: 1 });
}
