/**
 * Moves everything that a host keeps in SQLite into a PostgreSQL that hosts share, while the host goes on. It can be ended at any
 * time and goes on where it was:
 *
 *   snapshot ─▶ copy its tables ─▶ follow what changed since ─▶ freeze (links answer, and cannot be changed) ─▶ follow the rest
 *     ─▶ compare everything, row by row ─▶ done: start the host with DATABASE_URL
 *
 * Clicks that came after the snapshot stay in clicks.db, which says how far they were moved; the host ships them when it starts with
 * DATABASE_URL, also those that its process of before stores until its end.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import type { Clock } from '../../kernel/clock.ts';
import { StartError } from '../../kernel/errors.ts';
import { SEGMENT_SIZE } from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import { CLICK_SCHEMA, LINK_SCHEMA } from '../migrations/migrations.ts';
import { type OpenPostgres, openPostgres } from '../postgres/open-postgres.ts';
import type { Tables } from '../tables.ts';
import { type Compared, compareTable } from './compare-table.ts';
import { copyTable, replaceTable } from './copy-table.ts';
import { EVENTS_MAX, followLinks } from './follow-links.ts';
import {
  freezeLinks,
  giveLimitsBack,
  isFrozen,
  isMoved,
  listLimits,
  noteEnd,
  readMadeAt,
  takeLimits,
  thawLinks,
} from './freeze.ts';
import { closeMoveLog, isBeingFilled, openMoveLog } from './move-log.ts';
import { dropSnapshot, hasSnapshot, type Snapshot, takeSnapshot } from './snapshot.ts';
import { insertRows, readShape, type TableShape } from './table-shape.ts';

export interface MoveOptions {
  /** Of the host: links.db and clicks.db. */
  readonly dataDir: string;
  readonly databaseUrl: string;
  readonly clock: Clock;
  readonly onProgress: (progress: MoveProgress) => void;
  /** Told of connections that break while nobody uses them, which costs nothing. */
  readonly onBroken: (error: Error) => void;
}

/** `of` pieces of work of one kind, of which `done` are done. */
export interface MoveProgress {
  readonly step: string;
  readonly unit: 'bytes' | 'rows';
  readonly done: number;
  readonly of: number;
}

export interface MoveReport {
  readonly tables: readonly Compared[];
  /** For how long links cannot be changed so far. */
  readonly frozenMs: number;
  /** Links of whose limit nobody knows what is used: they are not followed until it is set anew. */
  readonly unknownLimits: number;
}

/** As they are in the snapshot; in this order, because rows name rows of tables before. */
const LINK_TABLES = ['links', 'link_tags', 'events'] as const;
const CLICK_TABLES = ['words', 'agents', 'segments', 'clicks', 'click_figures'] as const;
/** Small, and as they are once nothing changes any more. */
const FROZEN_TABLES = ['api_keys', 'sequences'] as const;
const LIVE_TABLES = ['salts', 'unknown_keys'] as const;
/** Of the moment when clicks were copied. */
const STATE_TABLE = 'click_state';
/** What is of this host or of this file alone. */
export const STAYING_TABLES: readonly string[] = [
  ...['host_state', 'leases', 'sli_minutes', 'schema_state', 'click_schema_state'],
  // Moved as limits.
  'quotas',
];
export const MOVED_TABLES: readonly string[] = [
  ...LINK_TABLES,
  ...CLICK_TABLES,
  ...FROZEN_TABLES,
  ...LIVE_TABLES,
  STATE_TABLE,
];

/** Goes on where it was. Throws StartError with a sentence where it must not begin, and Error where both sides differ. */
export async function moveStore(options: MoveOptions): Promise<MoveReport> {
  const { dataDir, onProgress } = options;
  const files = openFiles(dataDir);
  const closers: (() => unknown)[] = [files.close];
  try {
    closers.push(lockMove(dataDir));
    const shared = await openShared(options);
    closers.push(shared.close);
    if (isMoved(files.links) && !(await isBeingFilled(shared.db, shared.links))) {
      await requireMovedTo(shared.db, files);
      // Of a move that was ended between its last two steps.
      dropSnapshot(dataDir);
      throw new StartError('These files have moved already: start the host with DATABASE_URL.');
    }
    const snapshot = await takeSnapshot(dataDir, (file, done, of) =>
      onProgress({ step: `copy ${file}`, unit: 'bytes', done, of }),
    );
    closers.push(snapshot.close);
    return await moveAll({ ...options, files, shared, snapshot });
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

interface Move extends MoveOptions {
  readonly files: Files;
  readonly shared: OpenPostgres;
  readonly snapshot: Snapshot;
}

async function moveAll({ files, shared, snapshot, clock, onProgress }: Move): Promise<MoveReport> {
  const { db, links: dialect } = shared;
  const log = await openMoveLog(db, dialect, snapshot.id);
  const to = { to: db, dialect, log };
  const showing = (step: string, of: number) => (done: number) =>
    onProgress({ step, unit: 'rows', done: Math.min(done, of), of });
  const fileOf = (name: string) => (CLICK_NAMES.has(name) ? snapshot.clicks : snapshot.links);
  const shapeOf = (name: string): TableShape => readShape(fileOf(name), name);

  for (const name of [...LINK_TABLES, ...CLICK_TABLES]) {
    const from = fileOf(name);
    const onRows = showing(`move ${name}`, countRows(from, name));
    await copyTable({ ...to, from, onRows }, shapeOf(name));
    // Else the database learns only a minute later how large it is, and reads all of it for a part.
    await sql`analyze ${sql.table(name)}`.execute(db);
  }
  const compare = (from: Database.Database, name: string) =>
    compareTable({ from, to: db, onRows: showing(`compare ${name}`, countRows(from, name)) }, shapeOf(name));
  const tables: Compared[] = [];
  for (const name of CLICK_TABLES) tables.push(await compare(snapshot.clicks, name));
  const shapes = { links: shapeOf('links'), link_tags: shapeOf('link_tags'), events: shapeOf('events') };
  const follow = () => followLinks({ ...to, from: files.links, since: readLastSeq(snapshot.links), shapes });
  // Until hardly anything is left, so that links cannot be changed for a short time only.
  while ((await follow()) > EVENTS_MAX);

  const frozenAtMs = clock.monotonicMs();
  freezeLinks(files.links);
  await follow();
  takeLimits(files.clicks, readLastSeq(files.links));
  // What is copied and compared is of one moment: API keys go on to note when they were used.
  files.links.exec('begin');
  for (const name of FROZEN_TABLES) await replaceTable({ ...to, from: files.links }, shapeOf(name));
  for (const name of LIVE_TABLES) await replaceTable({ ...to, from: files.clicks }, shapeOf(name));
  await replaceTable({ ...to, from: snapshot.clicks }, shapeOf(STATE_TABLE));
  const unknownLimits = await moveLimits(to, files, readShape(files.clicks, 'quotas'));

  for (const name of [...LINK_TABLES, ...FROZEN_TABLES]) tables.push(await compare(files.links, name));

  noteMoved(files.clicks, snapshot.clicks);
  await raiseIds(db, {
    links: readLastId(files.links, 'links'),
    api_keys: readLastId(files.links, 'api_keys'),
  });
  files.links.exec('commit');
  await raiseIds(db, {
    segments: readLastId(snapshot.clicks, 'segments'),
    words: readLastId(snapshot.clicks, 'words'),
  });
  // Before a host may start there: from here on the move cannot be cancelled without asking the database.
  noteEnd(files.links);
  await closeMoveLog(db);
  snapshot.remove();
  return { tables, frozenMs: clock.monotonicMs() - frozenAtMs, unknownLimits };
}

const CLICK_NAMES: ReadonlySet<string> = new Set([...CLICK_TABLES, ...LIVE_TABLES, STATE_TABLE]);

export interface CancelOptions extends Pick<MoveOptions, 'dataDir' | 'clock' | 'onBroken'> {
  /** Only asked where the move has come to its end. */
  readonly databaseUrl: string | null;
  /** Whatever hosts have done with the database. */
  readonly isForced: boolean;
}

/**
 * Gives the host back what a move took from it; links last, so that one that was ended in the middle is begun again. Throws
 * StartError where a host has worked on the shared database meanwhile.
 */
export async function cancelMove(options: CancelOptions): Promise<void> {
  const files = openFiles(options.dataDir);
  const closers: (() => unknown)[] = [files.close];
  try {
    closers.push(lockMove(options.dataDir));
    if (!isFrozen(files.links) && !hasSnapshot(options.dataDir)) {
      throw new StartError('These files were not moved: there is nothing to cancel.');
    }
    if (isMoved(files.links) && !options.isForced) await requireUnused(options, files);
    giveLimitsBack(files.clicks);
    files.clicks.exec('update segments set shipped_to = 0, shipped_into = null');
    dropSnapshot(options.dataDir);
    thawLinks(files.links);
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

const LOST =
  'If it is lost for good, add --force: the host then has its links as they were before the move, without what was changed and counted there. Single clicks of before the move that the host has forgotten since stay counted and are not listed any more.';

/** Throws StartError where the database is another one than that of the move, or a host has worked on it. */
async function requireUnused({ databaseUrl, clock, onBroken }: CancelOptions, files: Files): Promise<void> {
  if (databaseUrl === null) {
    throw new StartError(`Set DATABASE_URL to the database that these files were moved to. ${LOST}`);
  }
  const shared = await openShared({ databaseUrl, clock, onBroken }).catch((error: Error) => {
    throw new StartError(`${error.message} ${LOST}`, { cause: error });
  });
  try {
    if (await isBeingFilled(shared.db, shared.links)) return;
    await requireMovedTo(shared.db, files);
    if ((await readSharedSeq(shared.db)) > readLastSeq(files.links) || (await hasNumber(shared.db))) {
      throw new StartError(
        'A host has worked on the shared database since the move: start with DATABASE_URL, or add --force and lose what was changed and counted there.',
      );
    }
  } finally {
    await shared.close();
  }
}

async function requireMovedTo(db: Kysely<Tables>, files: Files): Promise<void> {
  if ((await readSharedSeq(db)) >= readLastSeq(files.links)) return;
  throw new StartError('These files were not moved to this database. Look at DATABASE_URL.');
}

/** A database is given its number by the first host that starts on it. */
async function hasNumber(db: Kysely<Tables>): Promise<boolean> {
  const number = db.selectFrom('sequences').select('value').where('name', '=', 'database');
  return (await number.executeTakeFirst()) !== undefined;
}

/** Held by SQLite, so that it goes with its process. Throws StartError where somebody else has it. */
function lockMove(dataDir: string): () => void {
  const db = new Database(join(dataDir, 'moving.lock'), { timeout: 0 });
  try {
    db.exec('begin exclusive');
  } catch (error) {
    db.close();
    throw new StartError('Another move of these files is under way. Let it end first.', { cause: error });
  }
  return () => db.close();
}

interface Files {
  readonly links: Database.Database;
  readonly clicks: Database.Database;
  close(): void;
}

/** Others write to them meanwhile. */
const BUSY_MS = 5000;

function openFiles(dataDir: string): Files {
  const open = (name: string, schema: { stateTable: string; migrations: readonly unknown[] }) => {
    const path = join(dataDir, name);
    if (!existsSync(path))
      throw new StartError(`${path} does not exist. Is ${dataDir} the DATA_DIR of a host?`);
    const db = new Database(path, { timeout: BUSY_MS });
    const version = db.prepare<[], number>(`select version from ${schema.stateTable}`).pluck().get();
    if (version === schema.migrations.length) return db;
    db.close();
    throw new StartError(
      `${path} has schema ${version}, and this release moves ${schema.migrations.length}. Start the host with this release first.`,
    );
  };
  const links = open('links.db', LINK_SCHEMA);
  const clicks = open('clicks.db', CLICK_SCHEMA);
  return {
    links,
    clicks,
    close() {
      links.close();
      clicks.close();
    },
  };
}

function openShared({
  databaseUrl: url,
  clock,
  onBroken,
}: Pick<MoveOptions, 'databaseUrl' | 'clock' | 'onBroken'>): Promise<OpenPostgres> {
  return openPostgres({ url, migrate: 'auto', clock, onBroken, mayBeFilled: true, bears: 'nothing' });
}

function countRows(from: Database.Database, table: string): number {
  return from.prepare<[], number>(`select count(*) from "${table}"`).pluck().get() as number;
}

function readLastSeq(links: Database.Database): number {
  return links
    .prepare<[], number>("select value from sequences where name = 'event'")
    .pluck()
    .get() as number;
}

async function readSharedSeq(db: Kysely<Tables>): Promise<number> {
  const event = db.selectFrom('sequences').select('value').where('name', '=', 'event');
  return (await event.executeTakeFirstOrThrow()).value;
}

/** The last one that was given out, also when its row is gone. */
function readLastId(from: Database.Database, table: string): number {
  return (
    from.prepare<[string], number>('select seq from sqlite_sequence where name = ?').pluck().get(table) ?? 0
  );
}

async function raiseIds(db: Kysely<Tables>, last: Readonly<Record<string, number>>): Promise<void> {
  for (const [table, id] of Object.entries(last)) {
    await sql`select setval(pg_get_serial_sequence(${table}, 'id'), ${Math.max(id, 1)}, ${id > 0})`.execute(
      db,
    );
  }
}

/** Limits of a portion. */
const LIMITS_MAX = 5000;

/** What is used of limits. Resolves with how many are not known: as here, until they are set anew. */
async function moveLimits(
  { to, dialect }: { readonly to: Kysely<Tables>; readonly dialect: Dialect },
  files: Files,
  shape: TableShape,
): Promise<number> {
  const limits = listLimits(files.clicks);
  const madeAtSeq = readMadeAt(files.clicks);
  await dialect.transaction(to, async (db) => {
    await db.updateTable('click_state').set({ value: madeAtSeq }).where('name', '=', 'made_at_seq').execute();
    await db.deleteFrom('quotas').execute();
    for (let from = 0; from < limits.length; from += LIMITS_MAX) {
      await insertRows(db, { dialect, shape }, limits.slice(from, from + LIMITS_MAX));
    }
  });
  const known = JSON.stringify(limits.map(([linkId]) => linkId));
  return files.links
    .prepare<[number, string], number>(
      `select count(*) from links where max_clicks is not null and max_clicks_seq <= ?
        and id not in (select value from json_each(?))`,
    )
    .pluck()
    .get(madeAtSeq, known) as number;
}

/** Clicks that the snapshot has are not shipped. */
function noteMoved(clicks: Database.Database, snapshot: Database.Database): void {
  const segments = snapshot
    .prepare<[], { name: string; last: number }>(
      `select name, max(folded_to, coalesce((select max(clicks.id) from clicks
         where clicks.id > segments.id * ${SEGMENT_SIZE} and clicks.id < (segments.id + 1) * ${SEGMENT_SIZE}), 0)
         - id * ${SEGMENT_SIZE}) as last from segments`,
    )
    .all();
  const note = clicks.prepare('update segments set shipped_to = ? where name = ?');
  clicks
    .transaction(() => {
      for (const { name, last } of segments) note.run(last, name);
    })
    .immediate();
}
