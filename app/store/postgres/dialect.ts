/**
 * PostgreSQL's side of the dialect: one writer at a time by an advisory lock, substrings by trigrams, and what its error codes
 * mean. Plain SQL of PostgreSQL 14 and later.
 */

import { type RawBuilder, sql } from 'kysely';
import pg from 'pg';
import { AppError } from '../../kernel/errors.ts';
import type { Dialect, RowColumns } from '../dialect.ts';

/** What a transaction that writes keeps others from: changes of links, or of clicks. */
export type WriteLock = 'links' | 'clicks';

/** Of our choice; an advisory lock is a number that everybody agrees on. */
const LOCK_NUMBERS: Readonly<Record<WriteLock, number>> = { links: 7_105_633_001, clicks: 7_105_633_002 };
/**
 * How long a transaction may wait for its host's next statement. A host whose network is cut in the middle of one would hold the
 * lock until its connection is given up, hours later. Shorter than others wait for the lock, so that they get it.
 */
const SILENT_MS = 3000;
/** How long a write waits for those of others before it is answered with 503. */
const LOCK_MS = 5000;
/** What the server itself allows a statement of ours; a client that gives up earlier leaves it running. */
const STATEMENT_MS = 10_000;

export function createPostgresDialect(lock: WriteLock, { statementMs = STATEMENT_MS } = {}): Dialect {
  // What is read behind the lock has to be as of then, whatever the database does otherwise.
  const begin = `begin isolation level read committed; set local lock_timeout = ${LOCK_MS}; set local statement_timeout = ${statementMs};
    set local idle_in_transaction_session_timeout = ${SILENT_MS};
    select pg_advisory_xact_lock(${LOCK_NUMBERS[lock]})`;

  return {
    idType: 'bigint',
    idColumn: (column) => column.primaryKey().generatedAlwaysAsIdentity(),
    numberType: 'bigint',
    bytesType: 'bytea',
    // By bytes, as JavaScript and SQLite compare; the language of a database would sort otherwise.
    keyType: sql`text collate "C"`,
    clustered: sql``,

    // Not `to_regclass`: it answers from a cache that may be older than the lock somebody has waited for.
    async hasTable(db, name) {
      const { rows } = await sql`
        select 1 from pg_tables where schemaname = current_schema() and tablename = ${name}`.execute(db);
      return rows.length > 0;
    },

    transaction(db, work) {
      return db.connection().execute(async (connection) => {
        try {
          // One question for all of it: without values several statements go together.
          await sql.raw(begin).execute(connection);
          const result = await work(connection);
          await sql`commit`.execute(connection);
          return result;
        } catch (error) {
          // On a connection that is gone the server has done it.
          await sql`rollback`.execute(connection).catch(() => undefined);
          throw error;
        }
      });
    },

    afterCommit: async () => undefined,

    // Vacuum frees what was deleted, in its own time.
    eraseDeleted: async () => undefined,

    async undoTo(connection, savepoint) {
      await sql`rollback to savepoint ${sql.id(savepoint)}`.execute(connection);
      return true;
    },

    async databaseBytes(db) {
      const { rows } = await sql<{ bytes: number }>`
        select sum(pg_total_relation_size(oid)) as bytes from pg_class
        where relkind = 'r' and relnamespace = current_schema()::regnamespace`.execute(db);
      return (rows[0] as { bytes: number }).bytes;
    },

    // Gone with the transaction: rows that were deleted from one that stays would be read for ever, since nothing vacuums it, and a
    // pooler would hand it to others.
    async openScratch(db, name, columns) {
      await sql`create temporary table if not exists ${sql.table(name)} (${columns}) on commit drop`.execute(
        db,
      );
      await sql`truncate ${sql.table(name)}`.execute(db);
    },

    translateError: translatePostgresError,

    async createSearchIndex(db) {
      await sql`create extension if not exists pg_trgm`.execute(db);
      // In whatever schema somebody has put it.
      const { rows } = await sql<{ schema: string }>`
        select nspname as schema from pg_opclass join pg_namespace on pg_namespace.oid = opcnamespace
        where opcname = 'gin_trgm_ops'`.execute(db);
      const { schema } = rows[0] as { schema: string };
      await sql`create index link_search on links using gin (search ${sql.id(schema, 'gin_trgm_ops')})`.execute(
        db,
      );
    },

    // The index follows the column.
    indexSearchText: async () => undefined,

    async searchSource(_db, needle) {
      if ([...needle].length < TRIGRAM) return null;
      const pattern = `%${needle.replace(/[\\%_]/g, '\\$&')}%`;
      return { id: sql`links.id`, from: sql`links`, where: sql`links.search like ${pattern}` };
    },

    matchesText: (needle) => sql`strpos(links.search, ${needle}) > 0`,

    // Hosts have clocks of their own.
    nowMs: () => sql`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`,

    idsIn: (ids) => sql`(select unnest(cast(${ids} as bigint[])))`,

    rowsOf(columns, rows) {
      const names = Object.keys(columns);
      const values = names.map((name, index) => {
        const column = rows.map((row) => row[index] ?? null);
        return sql`cast(${column} as ${ARRAYS[columns[name] as ColumnKind]})`;
      });
      return sql`(select * from unnest(${sql.join(values)}) as given (${sql.join(names.map((name) => sql.ref(name)))}))`;
    },
  };
}

const TRIGRAM = 3;

type ColumnKind = RowColumns[string];

const ARRAYS: Readonly<Record<ColumnKind, RawBuilder<unknown>>> = {
  number: sql`bigint[]`,
  text: sql`text[]`,
  bytes: sql`bytea[]`,
};

const UNREACHABLE = 'The database cannot be reached just now. Links still redirect; try again in a moment.';
const WAITED = 'Others are writing to the database. Try again in a moment.';
const GONE = 'The tables of the database are gone, or not those of this release. Links still redirect.';
const REFUSES =
  'The database refuses this host. Links still redirect; look at DATABASE_URL and at its permissions.';
const SLOW = 'The database did not answer in time. Try again in a moment.';

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const SENTENCES: Readonly<Record<string, string>> = {
  '25P03': 'The host was silent for too long while it wrote. Try again in a moment.',
  '3D000': REFUSES,
  '3F000': GONE,
  '42501': REFUSES,
  '42703': GONE,
  '42P01': GONE,
  '55000': REFUSES,
  '25006': 'The database cannot be written to: it is a standby. Links still redirect.',
  '40001': WAITED,
  '40P01': WAITED,
  '53100': 'The disk of the database is full. Links still redirect; free some space to make new ones.',
  '55P03': WAITED,
  '57014': SLOW,
};
/** Connections, who may connect, resources, an operator who intervened, the system. */
const CLASSES: Readonly<Record<string, string>> = {
  '08': UNREACHABLE,
  '28': REFUSES,
  '53': UNREACHABLE,
  '57': UNREACHABLE,
  '58': UNREACHABLE,
};

/** Whether the server answered that it does not let this host work: that rarely passes by itself. */
export function isRefusal(error: unknown): boolean {
  const { message } = translatePostgresError(error) as { message?: unknown };
  return message === REFUSES || message === GONE;
}

export function translatePostgresError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  const sentence = sentenceOf(error);
  if (sentence === null) return error;
  return new AppError('unavailable', sentence, { cause: error, retryAfterSeconds: 1 });
}

function sentenceOf(error: Error): string | null {
  if (error instanceof pg.DatabaseError) {
    const { code = '' } = error;
    return SENTENCES[code] ?? CLASSES[code.slice(0, 2)] ?? null;
  }
  if (/^Query read timeout/.test(error.message)) return SLOW;
  return isOfConnection(error) ? UNREACHABLE : null;
}

/** Of sockets, which have codes, and of the driver, which has sentences. */
function isOfConnection(error: Error & { code?: unknown }): boolean {
  return (
    // Such as ECONNREFUSED and EAI_AGAIN; those that begin with ERR_ are mistakes of ours.
    /^E(?!RR_)[A-Z_]+$/.test(String(error.code)) ||
    /^(?:Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed)/.test(
      error.message,
    )
  );
}
