/**
 * clicks.db: the journal of redirects, and what is made of it. It must never cost a redirect, so whatever happens to the file
 * is repaired while the service runs: deleted or replaced, it is opened anew; damaged, it is set aside and a new one made; full,
 * it is tried again.
 */

import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ClickJournal } from '../../clicks/click-journal.ts';
import { DAY_MS, type Salts } from '../../clicks/visitor.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError, StartError } from '../../kernel/errors.ts';
import { SEGMENT_SIZE } from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import type { MigrateMode } from '../migrations/migrate.ts';
import { CLICK_SCHEMA } from '../migrations/migrations.ts';
import {
  createJournalAppender,
  type JournalAppender,
  type JournalSegment,
  openSegment,
} from './click-journal.ts';
import { createSalts, createSaltTable, makeSalt, type SaltReader } from './click-salts.ts';
import { isDamage, isInPlace, isPassing, openOrPutAway } from './damage.ts';
import { retryWhileBusy } from './dialect.ts';
import { identify, type OpenDatabase, openDatabase } from './open-database.ts';

export interface ClicksDb {
  readonly journal: ClickJournal;
  readonly salts: Salts;
  /** The file as it is open now. Throws AppError unavailable while there is none. */
  database(): OpenDatabase;
  /** Told what those met who read or count: damage is repaired with the next click. */
  report(error: unknown): void;
  /** What this process stores: the name of its segment, and the sequence of its last click. */
  segment(): Pick<JournalSegment, 'name' | 'sequence' | 'before'>;
  /** From now on clicks are of this shared database. Where those before are of another one, a new segment begins. */
  beOf(database: number): Promise<void>;
  close(): void;
}

export interface OpenClicksDbOptions {
  readonly dataDir: string;
  readonly migrate: MigrateMode;
  readonly dialect: Dialect;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly randomBytes: (size: number) => Buffer;
  /** Whether this file has the salts of visitors; if not they are put there by whoever shares them. */
  readonly makesSalts?: boolean;
  /** `power`: a click survives a power cut, for a disk sync each turn. */
  readonly durability: 'process' | 'power';
  /** The number of the last change of links. */
  readonly readSeq: () => number;
  /** Told when a damaged file was moved to `path`. */
  readonly onSetAside: (path: string, error: unknown) => void;
  /** Told what went with a file in whose place there is a new one now. */
  readonly onMissing: (missing: MissingClicks) => void;
}

export interface MissingClicks {
  /** That this process had stored. */
  readonly ofProcess: number;
  /** That the file held; null: it cannot be read any more. */
  readonly all: number | null;
}

interface OpenFile {
  readonly database: OpenDatabase;
  /** Goes on in it with a segment. */
  readonly enter: (segment: JournalSegment) => EnteredFile;
  readonly entered: EnteredFile;
  readonly readSalt: SaltReader;
}

interface EnteredFile {
  readonly append: JournalAppender;
  /** This process has not stored anything in it. */
  readonly isNew: boolean;
}

/** At start others may be waited for; later that would stop every redirect. */
const START_BUSY_TIMEOUT_MS = 5000;
/** A file that is opened anew, and where figures are damaged again within this time, is set aside. */
const REPORTED_AGAIN_MS = 60_000;
/** 1 MB: a redirect waits for the disk when the WAL is moved, 60 ms for SQLite's own 4 MB. */
const WAL_PAGES_MAX = 250;
/** Damaged files that are kept. A disk that damages more of them is left to its operator. */
const ASIDE_MAX = 10;

/** Throws StartError only for a schema that this code cannot read; any other trouble is left to `repair`. */
export async function openClicksDb(options: OpenClicksDbOptions): Promise<ClicksDb> {
  const { dataDir, clock, random, randomBytes, onSetAside, onMissing } = options;
  const path = join(dataDir, 'clicks.db');
  let segment = startSegment(null, 0);
  let file: OpenFile | null = null;
  let failure: unknown = null;
  let missing = 0;
  /** What the file before held. */
  let left: number | null = 0;
  let isSuspect = false;
  let reported: unknown = null;
  let reportMetAtMs = Number.NEGATIVE_INFINITY;

  function startSegment(database: number | null, before: number): JournalSegment {
    const name = randomBytes(8).toString('hex');
    return { name, startedAtMs: clock.nowMs(), database, before, sequence: 0, storedElsewhere: 0 };
  }

  async function open(busyTimeoutMs: number): Promise<void> {
    file = await openOrPutAway(path, {
      open: () => openFile(path, segment, { ...options, busyTimeoutMs }),
      isUseless: isDamage,
      putAway: moveAway,
    });
    failure = null;
    if (file.entered.isNew) tellMissing();
  }

  function tellMissing(): void {
    const ofProcess = segment.storedElsewhere - missing;
    if (ofProcess > 0 || left !== 0) onMissing({ ofProcess, all: left });
    missing = segment.storedElsewhere;
    left = 0;
  }

  function moveAway(error: unknown): void {
    onSetAside(setAside(path, clock.nowMs()), error);
  }

  function leave(): void {
    if (file === null) return;
    const { database } = file;
    left = countStored(database);
    file = null;
    reported = null;
    database.abandon();
  }

  function requireFile(): OpenFile {
    if (file !== null) return file;
    throw new AppError('unavailable', 'The clicks cannot be read just now. Links redirect all the same.', {
      cause: failure,
      retryAfterSeconds: 1,
    });
  }

  function requireUnreported(): void {
    if (reported === null) return;
    const error = reported;
    const nowMs = clock.monotonicMs();
    isSuspect ||= nowMs - reportMetAtMs < REPORTED_AGAIN_MS;
    reportMetAtMs = nowMs;
    reported = null;
    throw error;
  }

  try {
    await open(START_BUSY_TIMEOUT_MS);
  } catch (error) {
    if (error instanceof StartError && error.cause === undefined) throw error;
    failure = error;
  }

  return {
    journal: {
      failure: () => (file === null ? failure : null),
      append(entries) {
        const { database, entered } = requireFile();
        requireUnreported();
        // What is written to a file that was deleted is lost, and SQLite would go on for long with what it remembers of one
        // that was overwritten.
        database.requireInPlace();
        const verdicts = entered.append(entries);
        isSuspect = false;
        return verdicts;
      },
      async repair(error) {
        failure = error;
        if (file !== null && isInPlace(file.database)) {
          if (isPassing(error)) return;
          const found = identify(path);
          leave();
          // Opening reads only both ends of each table: what it finds well and fails all the same is damaged between them.
          if (isDamage(error) && isSuspect && identify(path) === found) moveAway(error);
          isSuspect = isDamage(error);
        }
        leave();
        await open(0);
      },
    },
    salts: createSalts(() => file?.readSalt ?? null, randomBytes),
    database: () => requireFile().database,
    segment: () => segment,
    async beOf(database) {
      if (segment.database === database) return;
      await retryWhileBusy(
        () => {
          const { database: of, before, sequence } = segment;
          const next = of === null ? { ...segment, database } : startSegment(database, before + sequence);
          if (file !== null) file = { ...file, entered: file.enter(next) };
          if (of !== null) missing = 0;
          segment = next;
        },
        { clock, random },
      );
    },
    report(error) {
      // One is enough until it is repaired.
      if (file !== null && isDamage(error)) reported ??= error;
    },
    close() {
      file?.database.close();
      file = null;
    },
  };
}

/** For those who read or count in the file: what they meet is reported. */
export function reportingTo({ report }: Pick<ClicksDb, 'report'>, dialect: Dialect): Dialect {
  return {
    ...dialect,
    translateError(error) {
      report(error);
      return dialect.translateError(error);
    },
  };
}

async function openFile(
  path: string,
  segment: JournalSegment,
  options: OpenClicksDbOptions & { busyTimeoutMs: number },
): Promise<OpenFile> {
  const {
    migrate,
    dialect,
    clock,
    durability,
    randomBytes,
    makesSalts = true,
    readSeq,
    busyTimeoutMs,
  } = options;
  const database = await openDatabase({
    path,
    schema: CLICK_SCHEMA,
    // One that is not there has nothing that could be migrated.
    migrate: migrate === 'check' ? 'make' : migrate,
    dialect,
    synchronous: durability === 'power' ? 'FULL' : 'NORMAL',
    walPagesMax: WAL_PAGES_MAX,
    busyTimeoutMs,
  });
  try {
    return database.connect((connection) => {
      const noteSeq = connection.prepare(
        "insert into click_state (name, value) values ('made_at_seq', ?) on conflict (name) do nothing",
      );
      // A clock that was wrong may have let clicks go that were not old; from now on they are kept.
      const noteKept = connection.prepare(
        "update click_state set value = ? where name = 'kept_from_ms' and value > ?",
      );
      const { readSalt, forgetBefore } = createSaltTable(
        connection,
        makesSalts ? () => makeSalt(randomBytes) : null,
      );
      const prepare = connection.transaction(() => {
        noteSeq.run(readSeq());
        noteKept.run(clock.nowMs(), clock.nowMs());
        forgetBefore(Math.floor(clock.nowMs() / DAY_MS));
      });
      prepare.immediate();
      const begin = connection.transaction((next: JournalSegment) => openSegment(connection, next));
      const enter = (next: JournalSegment): EnteredFile => {
        const { id, isNew } = begin.immediate(next);
        return { append: createJournalAppender(connection, next, id), isNew };
      };
      return { database, enter, entered: enter(segment), readSalt };
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Also of a file that was deleted, as long as it is open. */
function countStored({ readerConnection }: OpenDatabase): number | null {
  try {
    return readerConnection
      .prepare<[], number>(
        `select coalesce(sum(folded), 0) + (select count(*) from segments join clicks on
           clicks.id > segments.id * ${SEGMENT_SIZE} + max(folded_to, batch_to, shipped_to) and clicks.id < (segments.id + 1) * ${SEGMENT_SIZE})
         from segments`,
      )
      .pluck()
      .get() as number;
  } catch {
    return null;
  }
}

/** Out of the way, and kept: somebody may want to recover what is in it. */
function setAside(path: string, nowMs: number): string {
  const prefix = `${basename(path)}.damaged-`;
  const kept = readdirSync(dirname(path)).filter((name) => name.startsWith(prefix) && !name.endsWith('-wal'));
  if (kept.length >= ASIDE_MAX) {
    throw new Error(`${path} is damaged, and ${ASIDE_MAX} damaged ones lie beside it. Look at the disk.`);
  }
  const aside = `${path}.damaged-${nowMs}`;
  for (const suffix of ['', '-wal']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  rmSync(`${path}-shm`, { force: true });
  return aside;
}
