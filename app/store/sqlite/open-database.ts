/**
 * Opens a database file in WAL mode on a migrated schema: connections that write and one that only reads. Two processes may
 * have the file open, as they do during a reload; readers never wait for the writer.
 */

import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { LRUCache } from 'lru-cache';
import { StartError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import { type MigrateMode, migrate, type Schema } from '../migrations/migrate.ts';
import type { Tables } from '../tables.ts';

export interface OpenDatabase {
  readonly writer: Kysely<Tables>;
  readonly reader: Kysely<Tables>;
  /** The reading connection itself, for prepared statements. */
  readonly readerConnection: Database.Database;
  /**
   * One more connection that writes, for prepared statements. Closed with the others. What `prepare` writes may wait for other
   * processes as opening does; nothing waits after it.
   */
  connect<T>(prepare: (connection: Database.Database) => T): T;
  /** Throws once the files are no longer the ones that were opened, or the database begins like none. */
  requireInPlace(): void;
  close(): void;
  /**
   * Closes a database that is no longer in its place, and takes its WAL away from there: beside another database it would be
   * taken for that one's.
   */
  abandon(): void;
}

export interface OpenDatabaseOptions {
  readonly path: string;
  readonly schema: Schema;
  readonly migrate: MigrateMode;
  readonly dialect: Dialect;
  /**
   * `FULL`: what is committed survives a power cut · `NORMAL`: it survives the end of the process, and a power cut may take
   * the last commits (https://www.sqlite.org/pragma.html#pragma_synchronous).
   */
  readonly synchronous: 'FULL' | 'NORMAL';
  /** The commit that makes the WAL longer than so many pages moves it into the file; 0: the caller does (checkpoint.ts). */
  readonly walPagesMax?: number;
  /** How long opening may wait for other processes, and stop everything else in this one. */
  readonly busyTimeoutMs?: number;
}

/**
 * After `kill -9` the next opener recovers the WAL and others wait for it, so opening may wait; once the service listens a
 * wait would stop every redirect, so from then on a busy database is retried outside SQLite.
 */
const START_BUSY_TIMEOUT_MS = 5000;
const NEVER_WAIT = 'busy_timeout = 0';
/** SQLite's own default. */
const WAL_PAGES_MAX = 1000;
/** The WAL shrinks back to this after a burst. */
const WAL_BYTES_MAX = 64 * 1024 * 1024;

/** Throws StartError with one sentence for the operator; its cause is the database's own error. */
export async function openDatabase(options: OpenDatabaseOptions): Promise<OpenDatabase> {
  try {
    return await open(options);
  } catch (error) {
    throw error instanceof StartError
      ? error
      : new StartError(explain(options.path, error), { cause: error });
  }
}

async function open(options: OpenDatabaseOptions): Promise<OpenDatabase> {
  const {
    path,
    schema,
    migrate: mode,
    dialect,
    synchronous,
    busyTimeoutMs = START_BUSY_TIMEOUT_MS,
  } = options;
  // Of nobody else's business: links may lead to what is not public.
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const isNew = !existsSync(path);
  if (isNew && mode === 'check') {
    throw new StartError(
      `${path} does not exist, and MIGRATE=check forbids making it. Migrate first, or start with MIGRATE=auto.`,
    );
  }
  const connections: Database.Database[] = [];
  const connect = (settings: Database.Options): Database.Database => {
    const connection = new Database(path, settings);
    connections.push(connection);
    return connection;
  };
  const connectWriting = (): Database.Database => {
    const connection = connect({ timeout: busyTimeoutMs });
    connection.pragma('journal_mode = WAL');
    connection.pragma(`synchronous = ${synchronous}`);
    connection.pragma('foreign_keys = ON');
    // What was deleted must not stand in the file until its place is needed.
    connection.pragma('secure_delete = FAST');
    connection.pragma(`journal_size_limit = ${WAL_BYTES_MAX}`);
    connection.pragma(`wal_autocheckpoint = ${options.walPagesMax ?? WAL_PAGES_MAX}`);
    return connection;
  };
  try {
    const writing = connectWriting();
    const writer = toKysely(writing);
    await migrate(writer, dialect, { mode, schema, name: path });
    const reading = connect({ readonly: true, timeout: busyTimeoutMs });
    probePages(reading);
    for (const connection of connections) connection.pragma(NEVER_WAIT);
    const place = createPlace(path);
    const close = (): void => {
      if (!writing.open) return;
      closeAll(connections);
      place.leave();
    };
    return {
      writer,
      reader: toKysely(reading),
      readerConnection: reading,
      connect(prepare) {
        const connection = connectWriting();
        const prepared = prepare(connection);
        connection.pragma(NEVER_WAIT);
        return prepared;
      },
      requireInPlace: place.require,
      close,
      abandon() {
        moveTogether(writing);
        close();
        place.clear();
      },
    };
  } catch (error) {
    closeAll(connections);
    throw error;
  }
}

/** Whoever moved the file away then has all of it. */
function moveTogether(connection: Database.Database): void {
  try {
    connection.pragma('wal_checkpoint(PASSIVE)');
  } catch {
    // On a disk that fails; then the WAL has what it has.
  }
}

/** The reader first: the last connection to close, the writer, then moves the WAL into the database. */
function closeAll(connections: readonly Database.Database[]): void {
  for (const connection of connections.toReversed()) connection.close();
}

interface Place {
  require(): void;
  /** Once no connection is open: closing a descriptor of a file takes all locks of this process from it. */
  leave(): void;
  clear(): void;
}

/** https://www.sqlite.org/fileformat.html#the_database_header */
const HEADER = Buffer.from('SQLite format 3\0');

/**
 * A file that was deleted or replaced stays usable to whoever has it open, and is gone with the process: links would be
 * acknowledged and lost. Processes that do not share the -shm file know nothing of each other's locks. And SQLite goes on for
 * long with what it remembers of a file that was overwritten, until it has written half of it anew. Asked twice for each group
 * of writes, and before the clicks of each turn; a call costs 4 µs.
 */
function createPlace(database: string): Place {
  const companions = [`${database}-wal`, `${database}-shm`];
  const opened = new Map([database, ...companions].map((path) => [path, identify(path)]));
  const isStrange = (path: string): boolean => identify(path) !== opened.get(path);
  const descriptor = openSync(database, 'r');
  const bytes = Buffer.alloc(HEADER.length);
  return {
    require() {
      const strange = [...opened.keys()].find(isStrange);
      if (strange !== undefined) {
        throw new Error(
          `${strange} was deleted or replaced while it was in use. Put it back, or start again on what is there.`,
        );
      }
      const length = readSync(descriptor, bytes, 0, bytes.length, 0);
      if (length === HEADER.length && bytes.equals(HEADER)) return;
      throw new Database.SqliteError(`${database} was overwritten while it was in use.`, 'SQLITE_NOTADB');
    },
    leave: () => closeSync(descriptor),
    clear() {
      if (!isStrange(database)) return;
      for (const path of companions) {
        // What another process made there meanwhile is its own.
        if (!isStrange(path)) rmSync(path, { force: true });
      }
    },
  };
}

/** Tells one file from another that has its name later. Null: absent or out of reach. */
export function identify(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** Statements prepared at a time per connection: the service has about 40. */
const STATEMENTS_MAX = 100;

/** Kysely prepares a statement for each call; preparing costs more than most of ours do, so they are kept. */
function toKysely(connection: Database.Database): Kysely<Tables> {
  const statements = new LRUCache<string, Database.Statement>({ max: STATEMENTS_MAX });
  const prepare = (text: string): Database.Statement => {
    const known = statements.get(text);
    if (known !== undefined) return known;
    const statement = connection.prepare(text);
    statements.set(text, statement);
    return statement;
  };
  return new Kysely<Tables>({
    dialect: new SqliteDialect({ database: { prepare, close: connection.close.bind(connection) } }),
  });
}

/**
 * A full check takes seconds on a large file. Reading both ends of every b-tree finds what happens to files in practice:
 * cut short, overwritten, or not a database.
 */
function probePages(connection: Database.Database): void {
  const tables = connection
    .prepare<[], string>("select name from sqlite_schema where type = 'table' and sql like 'create table%'")
    .pluck()
    .all();
  // A partial index serves only a query that repeats its condition, which ends the text the index was made with.
  const indexes = connection.prepare<[string], { name: string; condition: string }>(
    `select name, iif(partial, substr(sql, instr(sql, ' where ')), '') as condition
     from pragma_index_list(?) join sqlite_schema using (name)`,
  );
  const columnsOf = connection.prepare<[string], string>('select name from pragma_index_info(?)').pluck();
  for (const table of tables) {
    probeEnds(connection, `select * from "${table}"`, ['1']);
    for (const { name, condition } of indexes.all(table)) {
      const columns = columnsOf.all(name).map((column) => `"${column}"`);
      const entries = `select ${columns.join(', ')} from "${table}" indexed by "${name}"${condition}`;
      probeEnds(connection, entries, columns);
    }
  }
}

function probeEnds(connection: Database.Database, rows: string, columns: readonly string[]): void {
  for (const direction of ['asc', 'desc']) {
    const order = columns.map((column) => `${column} ${direction}`).join(', ');
    connection.prepare(`${rows} order by ${order} limit 1`).get();
  }
}

const SENTENCES: Readonly<Record<string, string>> = {
  SQLITE_NOTADB: 'is not a SQLite database. Restore a backup, or move the file away to start empty.',
  SQLITE_CORRUPT: 'is damaged. Restore a backup, or try `sqlite3 links.db .recover`.',
  SQLITE_FULL: 'cannot grow: the disk is full. Free some space and start again.',
  SQLITE_READONLY: 'cannot be written to. Give the service the right to write to DATA_DIR.',
  SQLITE_CANTOPEN: 'cannot be opened. Give the service the right to write to DATA_DIR.',
  SQLITE_BUSY: 'is locked by another process for more than 5 seconds. Stop that process and start again.',
  SQLITE_IOERR: 'cannot be read or written: the disk reports an error.',
  // The shared memory beside the WAL finds no room.
  SQLITE_IOERR_SHMSIZE: 'cannot be opened: the disk is full. Free some space and start again.',
  EACCES: 'cannot be made. Give the service the right to write to DATA_DIR.',
  EPERM: 'cannot be made. Give the service the right to write to DATA_DIR.',
  EROFS: 'cannot be made: the file system is read-only. Point DATA_DIR to one that can be written to.',
  ENOSPC: 'cannot be made: the disk is full. Free some space and start again.',
  ENOTDIR: 'cannot be made: part of DATA_DIR is a file. Point DATA_DIR to a folder.',
  EEXIST: 'cannot be made: DATA_DIR is a file. Point DATA_DIR to a folder.',
};

function explain(path: string, error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const primary = String(code).split('_', 2).join('_');
  return `${path} ${SENTENCES[String(code)] ?? SENTENCES[primary] ?? 'cannot be opened.'} (${String(message)})`;
}
