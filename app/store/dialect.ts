/**
 * What differs between the databases, in one place each. Everything else in store/ is written once, in Kysely.
 */

import type { ColumnBuilderCallback, ColumnDataType, Kysely, RawBuilder } from 'kysely';
import type { Tables } from './tables.ts';

export interface Dialect {
  /** The type and the rest of a numeric primary key that the database fills and never gives out twice. */
  readonly idType: ColumnDataType;
  readonly idColumn: ColumnBuilderCallback;
  /** The type of a numeric primary key that we fill. */
  readonly numberType: ColumnDataType;
  readonly bytesType: ColumnDataType;
  /** The type of texts that are compared, and put in order, by their bytes. */
  readonly keyType: ColumnDataType | RawBuilder<unknown>;
  /** Ends the statement that makes a table whose rows lie in the order of its key. */
  readonly clustered: RawBuilder<unknown>;
  hasTable(db: Kysely<Tables>, name: string): Promise<boolean>;
  /**
   * Runs `work` in a transaction that may write from the start, on one connection that nothing else uses meanwhile; no
   * other writer's transaction overlaps it, so what `work` reads stays true until it writes. `work` awaits nothing but
   * the database.
   */
  transaction<T>(db: Kysely<Tables>, work: (connection: Kysely<Tables>) => Promise<T>): Promise<T>;
  /** What the database puts off until those who wait for a commit are answered. Between transactions; never fails. */
  afterCommit(db: Kysely<Tables>): Promise<void>;
  /** What was deleted and committed stands in no file any more, unless somebody reads it just now. */
  eraseDeleted(db: Kysely<Tables>): Promise<void>;
  /** Undoes what was done since a savepoint. False: the transaction itself is over, and everything in it undone. */
  undoTo(connection: Kysely<Tables>, savepoint: string): Promise<boolean>;
  /** What the tables and indexes of a database take on the disk. */
  databaseBytes(db: Kysely<Tables>): Promise<number>;
  /** A driver's error as an AppError, by its code; any other error as it is. */
  translateError(error: unknown): unknown;
  /** An empty table that nobody else sees, for the transaction that is under way. */
  openScratch(db: Kysely<Tables>, name: string, columns: RawBuilder<unknown>): Promise<void>;
  createSearchIndex(db: Kysely<Tables>): Promise<void>;
  /** Keeps the search index in step with a row of `links`. */
  indexSearchText(db: Kysely<Tables>, entry: SearchEntry): Promise<void>;
  /**
   * Where to read the ids of all rows whose search text may hold `needle`: `matchesText` decides. Null when the index
   * needs a longer one. Bounded work, whatever the needle is.
   */
  searchSource(db: Kysely<Tables>, needle: string): Promise<IdSource | null>;
  /** Whether the search text of a row of `links` holds `needle`, without the index. */
  matchesText(needle: string): RawBuilder<boolean>;
  /** The time for what is agreed on between processes: of the caller's clock where all have one, else of the database's. */
  nowMs(callerMs: number): RawBuilder<number>;
  /** `<column> in <idsIn(ids)>`: one text of SQL however many ids there are, so that its statement stays prepared. */
  idsIn(ids: readonly number[]): RawBuilder<unknown>;
  /** `from <rowsOf(columns, rows)>`: a table of these values, likewise in one text of SQL. */
  rowsOf(columns: RowColumns, rows: readonly RowValues[]): RawBuilder<unknown>;
}

/** The columns of a table of values, in the order in which the values stand. */
export type RowColumns = Readonly<Record<string, 'number' | 'text' | 'bytes'>>;
export type RowValues = readonly (number | string | Uint8Array | null)[];

/** What the search index holds of a row of `links`; `text` null: the row goes away. */
export interface SearchEntry {
  readonly id: number;
  readonly text: string | null;
  readonly isNew: boolean;
}

/** `select <id> from <from> where <where>` lists ids, in the order of `<id>` without sorting. */
export interface IdSource {
  readonly id: RawBuilder<number>;
  readonly from: RawBuilder<unknown>;
  readonly where: RawBuilder<boolean>;
  /** A closer condition, which costs something to begin with: for reading a source once, not for walking it in steps. */
  readonly narrowed?: RawBuilder<boolean>;
}
