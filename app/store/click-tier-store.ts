/** The tiers of clicks over Kysely, the same for both databases. */

import { type Kysely, sql } from 'kysely';
import type { ClickTiers, Lease, LinkUse } from '../clicks/click-tiers.ts';
import type { Clock } from '../kernel/clock.ts';
import { nextTurn } from '../kernel/portions.ts';
import { findOldestWaitingMs, foldClicks } from './click-fold.ts';
import { purgeLink } from './click-purge.ts';
import { reclassify } from './click-reclassify.ts';
import { compareTiers, countRows, listSegments } from './click-recount.ts';
import { forgetSalts, removeOldClicks, rollUpQuarters } from './click-retention.ts';
import { REASON_NUMBERS, SEGMENT_SIZE } from './click-rows.ts';
import { readState, writeState } from './click-state.ts';
import { readStorage } from './click-storage.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import type { OpenDatabase } from './sqlite/open-database.ts';
import type { Tables } from './tables.ts';

export interface ClickTierStoreDeps {
  /** The file as it is open now: it may be opened anew at any time. Throws AppError unavailable while there is none. */
  readonly open: () => Pick<OpenDatabase, 'reader' | 'writer'>;
  readonly dialect: Dialect;
  readonly clock: Clock;
}

/** Rows that one transaction looks at, to remove or to move them: about 5 ms. */
const ROWS_MAX = 500;
/** Rows that one statement counts: about 1 ms. */
const COUNTED_MAX = 20_000;

export function createClickTierStore({ open, dialect, clock }: ClickTierStoreDeps): ClickTiers {
  const reading = createReading(dialect);
  const read = async <T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> =>
    reading(work(open().reader));
  const write = async <T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> =>
    reading(dialect.transaction(open().writer, work));

  return {
    fold: async (sliceClicks, pause = nextTurn) =>
      reading(foldClicks(open(), { dialect, clock, pause }, sliceClicks)),
    findOldestWaitingMs: () => read(findOldestWaitingMs),
    readUse: (linkIds) => read((db) => readUse(db, dialect, linkIds)),

    purgeLink: (linkId) => write((db) => purgeLink(db, dialect, { linkId, rowsMax: ROWS_MAX })),
    readPurgedTo: () => read(readPurgedTo),
    writePurgedTo: (seq, afterSeq) => write((db) => writePurgedTo(db, seq, afterSeq)),
    purgeAgain: () => write(purgeAgain),

    removeOldClicks: async (beforeMs) =>
      (await write((db) => removeOldClicks(db, { beforeMs, rowsMax: ROWS_MAX }))) > 0,
    rollUpQuarters: async (beforeDay) =>
      (await write((db) => rollUpQuarters(db, { beforeDay, rowsMax: ROWS_MAX }))) > 0,
    async forgetSalts(beforeDay) {
      await write((db) => forgetSalts(db, beforeDay));
      await reading(dialect.eraseDeleted(open().writer));
    },

    reclassify: (range) =>
      (range.isDryRun ? read : write)((db) => reclassify(db, dialect, { ...range, rowsMax: ROWS_MAX })),

    listSegments: () => read(listSegments),
    countRows: (range) => read((db) => countRows(db, { ...range, rowsMax: COUNTED_MAX })),
    compareTiers: () => read(compareTiers),
    endSegments: (notSeenSinceMs) => write((db) => endSegments(db, notSeenSinceMs)),
    noteSeen: (segment, atMs) => write((db) => noteSeen(db, dialect, segment, atMs)),

    readStorage: () => read((db) => readStorage(db, dialect)),

    readNowMs: (callerMs) => read((db) => readNowMs(db, dialect, callerMs)),
    takeLease: (lease) => write((db) => takeLease(db, dialect, lease)),
    readNight: () => read((db) => readState(db, 'night_of_day')),
    writeNight: (day) => write((db) => writeState(db, 'night_of_day', day)),
  };
}

async function readUse(
  db: Kysely<Tables>,
  dialect: Dialect,
  linkIds: readonly number[],
): Promise<Map<number, LinkUse>> {
  const wanted = sql<boolean>`link_id in ${dialect.idsIn(linkIds)}`;
  const { rows } = await sql<{ link_id: number } & LinkUse>`
    select link_id, cast(sum(clicks) as bigint) as clicks, cast(sum(used) as bigint) as "ofMax" from
      (select link_id, clicks, 0 as used from click_totals where ${wanted} and reason = ${REASON_NUMBERS.human}
        union all select link_id, 0, used from quotas where ${wanted}) as uses
    group by link_id`.execute(db);
  return new Map(rows.map(({ link_id, clicks, ofMax }) => [link_id, { clicks, ofMax }]));
}

async function readPurgedTo(db: Kysely<Tables>): Promise<number> {
  return (await readState(db, 'purged_to_seq')) ?? (await readMadeAt(db));
}

async function writePurgedTo(db: Kysely<Tables>, seq: number, afterSeq: number): Promise<void> {
  if ((await readPurgedTo(db)) === afterSeq) await writeState(db, 'purged_to_seq', seq);
}

/** Links purged before this file was made have no clicks in it. */
async function readMadeAt(db: Kysely<Tables>): Promise<number> {
  return (await readState(db, 'made_at_seq')) as number;
}

async function purgeAgain(db: Kysely<Tables>): Promise<void> {
  const purgedTo = await readPurgedTo(db);
  const again = (await readState(db, 'purged_again_to_seq')) ?? (await readMadeAt(db));
  await writeState(db, 'purged_to_seq', again);
  await writeState(db, 'purged_again_to_seq', purgedTo);
}

async function endSegments(db: Kysely<Tables>, notSeenSinceMs: number): Promise<void> {
  const size = sql.lit(SEGMENT_SIZE);
  await db
    .updateTable('segments')
    .set({ is_over: 1 })
    .where('is_over', '=', 0)
    .where('started_at_ms', '<', notSeenSinceMs)
    .where('seen_at_ms', '<', notSeenSinceMs)
    .where('stage', '=', 0)
    .where(
      sql<boolean>`not exists (select 1 from clicks
        where clicks.id > segments.id * ${size} + segments.folded_to and clicks.id < (segments.id + 1) * ${size})`,
    )
    .execute();
}

/** One that slept for days is looked at again. */
async function noteSeen(db: Kysely<Tables>, dialect: Dialect, segment: string, atMs: number): Promise<void> {
  await db
    .updateTable('segments')
    .set({ seen_at_ms: dialect.nowMs(atMs), is_over: 0 })
    .where('name', '=', segment)
    .execute();
}

async function readNowMs(db: Kysely<Tables>, dialect: Dialect, callerMs: number): Promise<number> {
  const { rows } = await sql<{ now_ms: number }>`select ${dialect.nowMs(callerMs)} as now_ms`.execute(db);
  return (rows[0] as { now_ms: number }).now_ms;
}

/** Leases are for minutes. One for longer was taken while the clock of its holder was wrong. */
const LEASE_MS_MAX = 60 * 60 * 1000;

async function takeLease(
  db: Kysely<Tables>,
  dialect: Dialect,
  { name, holder, nowMs: callerMs, forMs }: Lease,
): Promise<boolean> {
  const now = dialect.nowMs(callerMs);
  const until_ms = sql<number>`${now} + ${forMs}`;
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('leases')
    .values({ name, holder, until_ms })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ holder, until_ms })
        .where((eb) =>
          eb.or([
            eb('leases.holder', '=', holder),
            eb('leases.until_ms', '<=', now),
            eb('leases.until_ms', '>', sql<number>`${now} + ${sql.lit(LEASE_MS_MAX)}`),
          ]),
        ),
    )
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}
