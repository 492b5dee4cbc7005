/**
 * copy-….db: a host's copy of shared links, and what the host remembers of itself. All links are in the database, so the file is
 * never waited for and never missed: what it does not answer is asked there. Deleted or replaced, it is opened anew while the service
 * runs; damaged, or made by a release that this one does not understand, it is removed and filled again once the database is there.
 */

import { rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { LinkCopy } from '../../fleet/link-copy.ts';
import type { DrainStore } from '../../health/drain.ts';
import type { LookupFigures } from '../../health/lookup-metric.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError, StartError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import { createGroupCommit, type GroupCommit } from '../group-commit.ts';
import { createHostStateStore } from '../host-state-store.ts';
import { COPY_SCHEMA } from '../migrations/migrations.ts';
import { driverErrorOf, isDamage, isPassing, openOrPutAway } from './damage.ts';
import { createLinkCopy } from './link-copy.ts';
import { identify, type OpenDatabase, openDatabase } from './open-database.ts';
import { createRedirectLookup, NO_KEY, type RedirectLookup } from './redirect-lookup.ts';

export interface CopyDb {
  readonly copy: LinkCopy;
  readonly drain: DrainStore;
  figures(): LookupFigures;
  /** Looks after the file; for every second. Whatever is wrong with it stands in `failure`. */
  repair(): Promise<void>;
  /** What is wrong with the file; null: nothing. */
  failure(): unknown;
  /** Reads as a redirect does; throws where that fails. */
  probe(): void;
  close(): Promise<void>;
}

export interface OpenCopyDbOptions {
  readonly path: string;
  readonly dialect: Dialect;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Whether the database answers. While it does not, what is left of a file is better than a new one. */
  readonly canBeFilled: () => boolean;
  /** Told why the file was removed. */
  readonly onRemoved: (error: unknown) => void;
}

interface OpenFile {
  readonly identity: string | null;
  readonly database: OpenDatabase;
  readonly lookup: RedirectLookup;
  readonly copy: LinkCopy;
  readonly writes: GroupCommit;
  readonly drain: DrainStore;
}

/** At start others may be waited for; later that would stop every redirect. */
const START_BUSY_TIMEOUT_MS = 5000;
/** 1 MB: a redirect waits for the disk when the WAL is moved. */
const WAL_PAGES_MAX = 250;

export async function openCopyDb(options: OpenCopyDbOptions): Promise<CopyDb> {
  const { path, canBeFilled } = options;
  let file: OpenFile | null = null;
  let failure: unknown = null;
  /** Of files before. */
  let before: LookupFigures = { remembered: 0, read: 0 };
  let drainUntilMs: number | null = null;

  function remove(error: unknown): void {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    options.onRemoved(error);
  }

  async function open(busyTimeoutMs: number): Promise<void> {
    try {
      file = await openOrPutAway(path, {
        open: () => openFile({ ...options, busyTimeoutMs }),
        isUseless: (error) => isUseless(error) && canBeFilled(),
        putAway: remove,
      });
      failure = null;
    } catch (error) {
      failure = error;
    }
  }

  function figures(): LookupFigures {
    const now = file?.lookup.figures() ?? { remembered: 0, read: 0 };
    return { remembered: before.remembered + now.remembered, read: before.read + now.read };
  }

  async function leave({ database, writes }: OpenFile): Promise<void> {
    before = figures();
    file = null;
    await writes.close();
    database.abandon();
  }

  function requireFile(): OpenFile {
    if (file !== null) return file;
    throw unreadable(failure);
  }

  function report(error: unknown): void {
    if (!isPassing(error)) failure ??= error;
  }

  async function writing<T>(work: (copy: LinkCopy) => Promise<T>): Promise<T> {
    try {
      return await work(requireFile().copy);
    } catch (error) {
      // A statement that fails for another reason may be one of many that work.
      if (isDamage(error)) report(error);
      throw error;
    }
  }

  await open(START_BUSY_TIMEOUT_MS);

  return {
    copy: {
      lookup(key) {
        if (file === null) return null;
        try {
          return file.lookup.lookup(key);
        } catch (error) {
          report(error);
          return null;
        }
      },
      readPlace: () => writing((copy) => copy.readPlace()),
      readFilledTo: () => writing((copy) => copy.readFilledTo()),
      write: (states, step) => writing((copy) => copy.write(states, step)),
      begin: (end, instead) => writing((copy) => copy.begin(end, instead)),
      forgetUnconfirmed: (run, after) => writing((copy) => copy.forgetUnconfirmed(run, after)),
    },

    drain: {
      async readDrainUntilMs() {
        try {
          drainUntilMs = await requireFile().drain.readDrainUntilMs();
        } catch (error) {
          // A host that drains goes on with it while its file is away.
          report(error);
        }
        return drainUntilMs;
      },
      async writeDrainUntilMs(untilMs) {
        await requireFile().drain.writeDrainUntilMs(untilMs);
        drainUntilMs = untilMs;
      },
    },

    figures,

    async repair() {
      if (file !== null) {
        failure ??= findFault(file.database);
        if (failure === null || !canBeFilled()) return;
        const isOurs = identify(path) === file.identity;
        const error = failure;
        await leave(file);
        if (isDamage(error) && isOurs) remove(error);
      }
      await open(0);
      // What a new file does not know.
      if (drainUntilMs !== null && file !== null && (await file.copy.readPlace()) === null) {
        await file.drain.writeDrainUntilMs(drainUntilMs);
      }
    },

    failure: () => failure,

    probe() {
      try {
        requireFile().lookup.lookup(NO_KEY);
      } catch (error) {
        report(error);
        throw error;
      }
    },

    async close() {
      if (file === null) return;
      const { writes, database } = file;
      file = null;
      await writes.close();
      database.close();
    },
  };
}

function unreadable(cause: unknown): AppError {
  return new AppError('unavailable', UNREADABLE, { cause, retryAfterSeconds: 1 });
}

const UNREADABLE = 'The copy of the links on this host cannot be read just now. Try again in a moment.';

async function openFile({
  path,
  dialect,
  clock,
  random,
  busyTimeoutMs,
}: OpenCopyDbOptions & { busyTimeoutMs: number }): Promise<OpenFile> {
  const database = await openDatabase({
    path,
    schema: COPY_SCHEMA,
    // Nothing in it is worth a step of the deploy.
    migrate: 'auto',
    dialect,
    synchronous: 'NORMAL',
    walPagesMax: WAL_PAGES_MAX,
    busyTimeoutMs,
  });
  try {
    const lookup = createRedirectLookup(database.readerConnection);
    const copy = database.connect((connection) => createLinkCopy({ connection, lookup, clock, random }));
    const writes = createGroupCommit(database.writer, {
      clock,
      dialect,
      requireInPlace() {
        const fault = findFault(database);
        if (fault !== null) throw unreadable(fault);
      },
      onCommitted: () => undefined,
    });
    const drain = createHostStateStore({ reader: database.reader, writes, dialect });
    return { identity: identify(path), database, lookup, copy, writes, drain };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Null: the file is where it was, and begins like a database. */
function findFault(database: OpenDatabase): unknown {
  try {
    database.requireInPlace();
    return null;
  } catch (error) {
    return error;
  }
}

/** Damaged, of a later schema, or with other tables than ours. */
function isUseless(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (error instanceof StartError && cause === undefined) return true;
  return isDamage(error) || (cause instanceof Database.SqliteError && cause.code === 'SQLITE_ERROR');
}
