/**
 * Figures become coarser with age: clicks go once they are counted, quarters of an hour become days. Each call is one
 * transaction of at most `rowsMax` rows and answers how many it moved; 0: there is nothing to do.
 */

import { type Kysely, sql } from 'kysely';
import { addFigures } from './click-figures.ts';
import { FIGURE_KINDS, QUARTERS_OF_DAY, SEGMENT_SIZE } from './click-rows.ts';
import { raiseState } from './click-state.ts';
import type { Tables } from './tables.ts';

/**
 * Only of clicks that are counted. Each process is walked from its first click on, since ids grow with time: where a clock was
 * wrong, clicks stay as long as an earlier one of their process does.
 */
export async function removeOldClicks(
  db: Kysely<Tables>,
  { beforeMs, rowsMax }: { beforeMs: number; rowsMax: number },
): Promise<number> {
  const segment = await findOldSegment(db, beforeMs);
  if (segment === null) return 0;
  await raiseState(db, 'kept_from_ms', beforeMs);
  const { id, from, to } = segment;
  const { rows } = await sql<{ last: number }>`
    select max(id) as last from
      (select id from clicks where id > ${from} and id <= ${to} order by id limit ${rowsMax}) as portion`.execute(
    db,
  );
  const old = sql<boolean>`id > ${from} and id <= ${(rows[0] as { last: number }).last} and at_ms < ${beforeMs}`;
  await sql`
    delete from click_figures where (link_id, kind, at, word, reason) in
      (select link_id, ${sql.lit(FIGURE_KINDS.click)}, at_ms, id, 0 from clicks where ${old})`.execute(db);
  const { numDeletedRows } = await db.deleteFrom('clicks').where(old).executeTakeFirst();
  const removed = Number(numDeletedRows);
  await noteRemoved(db, id, removed);
  return removed;
}

/** Clicks that have no row any more are still counted: the nightly recount asks. */
export async function noteRemoved(db: Kysely<Tables>, segment: number, clicks: number): Promise<void> {
  await db
    .updateTable('segments')
    .set((eb) => ({ removed: eb('removed', '+', clicks) }))
    .where('id', '=', segment)
    .execute();
}

/** A process whose first counted click is old: its clicks above `from` up to `to` are counted. */
async function findOldSegment(
  db: Kysely<Tables>,
  beforeMs: number,
): Promise<{ id: number; from: number; to: number } | null> {
  const size = sql.lit(SEGMENT_SIZE);
  const { rows } = await sql<{ id: number; from: number; to: number }>`
    select id, id * ${size} as "from", id * ${size} + folded_to as "to" from segments
    where (select at_ms from clicks
      where clicks.id > segments.id * ${size} and clicks.id <= segments.id * ${size} + segments.folded_to
      order by clicks.id limit 1) < ${beforeMs}
    order by id limit 1`.execute(db);
  return rows[0] ?? null;
}

export async function rollUpQuarters(
  db: Kysely<Tables>,
  { beforeDay, rowsMax }: { beforeDay: number; rowsMax: number },
): Promise<number> {
  const portion = sql`(select link_id, quarter, reason, clicks from click_quarters
    where quarter < ${beforeDay * QUARTERS_OF_DAY} order by quarter, link_id, reason limit ${rowsMax})`;
  const day = sql`(quarter / ${sql.lit(QUARTERS_OF_DAY)})`;
  await addFigures(db, [
    sql`select link_id, ${sql.lit(FIGURE_KINDS.day)}, ${day}, 0, reason, cast(sum(clicks) as bigint) from ${portion} as portion
      group by link_id, ${day}, reason`,
  ]);
  const { numAffectedRows } = await sql`
    delete from click_figures where (link_id, kind, at, word, reason) in
      (select link_id, ${sql.lit(FIGURE_KINDS.quarter)}, quarter, 0, reason from ${portion} as portion)`.execute(
    db,
  );
  return Number(numAffectedRows);
}

/** Who a visitor of a day that is over was can never be found out after this. */
export async function forgetSalts(db: Kysely<Tables>, beforeDay: number): Promise<void> {
  await db.deleteFrom('salts').where('day', '<', beforeDay).execute();
}
