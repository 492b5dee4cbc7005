/**
 * clicks.db: the journal of redirects, and what is made of it. It must never cost a redirect, so whatever happens to the file
 * is repaired while the service runs: deleted or replaced, it is opened anew; damaged, it is set aside and a new one made; full,
 * it is tried again.
 */

import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ClickJournal } from '../../clicks/click-journal.ts';
import type { Salts } from '../../clicks/visitor.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import type { MigrateMode } from '../migrations/migrate.ts';
import { CLICK_SCHEMA } from '../migrations/migrations.ts';
import { createJournalAppender, type JournalAppender, type JournalSegment } from './click-journal.ts';
import { createSaltTable } from './click-salts.ts';
import { type OpenDatabase, openDatabase } from './open-database.ts';

export interface ClicksDb {
  readonly journal: ClickJournal;
  readonly salts: Salts;
  /** The file as it is open now. Throws AppError unavailable while there is none. */
  database(): OpenDatabase;
  /** Why there is none; null: there is one. */
  failure(): unknown;
  close(): void;
}

export interface OpenClicksDbOptions {
  readonly dataDir: string;
  readonly migrate: MigrateMode;
  readonly dialect: Dialect;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** `power`: a click survives a power cut, for a disk sync each turn. */
  readonly durability: 'process' | 'power';
  /** The number of the last change of links. */
  readonly readSeq: () => number;
  /** Told when a damaged file was moved to `path`. */
  readonly onSetAside: (path: string, error: unknown) => void;
}

interface OpenFile {
  readonly database: OpenDatabase;
  readonly append: JournalAppender;
  readonly salts: Salts;
}

/** How often the file is looked for: what is written to one that was deleted is lost. */
const PLACE_CHECK_EVERY_MS = 1000;

/** Throws StartError only for a schema that this code cannot read; any other trouble is left to `repair`. */
export async function openClicksDb(options: OpenClicksDbOptions): Promise<ClicksDb> {
  const { dataDir, clock, randomBytes } = options;
  const path = join(dataDir, 'clicks.db');
  const segment: JournalSegment = {
    name: randomBytes(8).toString('hex'),
    startedAtMs: clock.nowMs(),
    sequence: 0,
  };
  let file: OpenFile | null = null;
  let failure: unknown = null;
  let placeCheckedAtMs = Number.NEGATIVE_INFINITY;

  async function open(): Promise<void> {
    close();
    try {
      file = await openFile(path, segment, options);
    } catch (error) {
      if (!isDamage(error)) throw error;
      options.onSetAside(setAside(path, clock.nowMs()), error);
      file = await openFile(path, segment, options);
    }
    failure = null;
  }

  function close(): void {
    file?.database.close();
    file = null;
  }

  function requireFile(): OpenFile {
    if (file !== null) return file;
    throw new AppError('unavailable', 'The clicks cannot be read just now. Links redirect all the same.', {
      cause: failure,
      retryAfterSeconds: 1,
    });
  }

  function checkPlace({ database }: OpenFile): void {
    const nowMs = clock.monotonicMs();
    if (nowMs - placeCheckedAtMs < PLACE_CHECK_EVERY_MS) return;
    database.requireInPlace();
    placeCheckedAtMs = nowMs;
  }

  try {
    await open();
  } catch (error) {
    if (causeOf(error) === undefined) throw error;
    failure = error;
  }

  return {
    journal: {
      append(entries) {
        const opened = requireFile();
        checkPlace(opened);
        return opened.append(entries);
      },
      async repair(error) {
        if (file !== null && !isDamage(error) && isInPlace(file.database)) return;
        failure = error;
        await open();
      },
    },
    salts: { saltOf: (day) => requireFile().salts.saltOf(day) },
    database: () => requireFile().database,
    failure: () => failure,
    close,
  };
}

async function openFile(
  path: string,
  segment: JournalSegment,
  options: OpenClicksDbOptions,
): Promise<OpenFile> {
  const { migrate, dialect, durability, randomBytes, readSeq } = options;
  const isNew = !existsSync(path);
  const database = await openDatabase({
    path,
    schema: CLICK_SCHEMA,
    // A file that is not there has nothing that could be migrated.
    migrate: isNew ? 'auto' : migrate,
    dialect,
    synchronous: durability === 'power' ? 'FULL' : 'NORMAL',
  });
  try {
    const connection = database.connect();
    // Another process may be storing clicks; once they wait for us, waiting is not done inside SQLite.
    connection.pragma('busy_timeout = 5000');
    connection
      .prepare(
        "insert into click_state (name, value) values ('made_at_seq', ?) on conflict (name) do nothing",
      )
      .run(readSeq());
    const append = createJournalAppender(connection, segment);
    connection.pragma('busy_timeout = 0');
    return { database, append, salts: createSaltTable(connection, randomBytes) };
  } catch (error) {
    database.close();
    throw error;
  }
}

function isInPlace(database: OpenDatabase): boolean {
  try {
    database.requireInPlace();
    return true;
  } catch {
    // That it says no is the answer.
    return false;
  }
}

/** Out of the way, and kept: somebody may want to recover what is in it. */
function setAside(path: string, nowMs: number): string {
  const aside = `${path}.damaged-${nowMs}`;
  for (const suffix of ['', '-wal']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  rmSync(`${path}-shm`, { force: true });
  return aside;
}

function isDamage(error: unknown): boolean {
  const cause = error instanceof Database.SqliteError ? error : causeOf(error);
  return cause instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
