/**
 * Removes what is stored of one link's clicks, and takes them out of what is counted for all links together; only the sketches
 * of all visitors keep them, from which nothing can be taken, and nobody can be read. Each call is one transaction of at most
 * `rowsMax` rows, so it may end anywhere: what a call removed it also took out.
 */

import { type Kysely, sql } from 'kysely';
import { BREAKDOWNS } from '../stats/stats-store.ts';
import { addFigures } from './click-figures.ts';
import { noteRemoved } from './click-retention.ts';
import { ALL_LINKS, FIGURE_KINDS, SEGMENT_SIZE, WORD_KINDS } from './click-rows.ts';
import { addToState } from './click-state.ts';
import type { Dialect } from './dialect.ts';
import { deleteQuota } from './quotas.ts';
import type { Tables } from './tables.ts';

interface Purge {
  readonly linkId: number;
  readonly rowsMax: number;
}

/** Totals go last, so that a link whose removal began is still known until it ends. */
const TIERS = [
  FIGURE_KINDS.quarter,
  FIGURE_KINDS.day,
  ...BREAKDOWNS.map((breakdown) => WORD_KINDS[breakdown]),
];

/** False: nothing is left. */
export async function purgeLink(db: Kysely<Tables>, dialect: Dialect, purge: Purge): Promise<boolean> {
  if (await purgeRows(db, dialect, purge)) return true;
  for (const kind of TIERS) if (await purgeTier(db, kind, purge)) return true;
  if (await purgeSketches(db, purge)) return true;
  await purgeTotals(db, purge);
  return false;
}

async function purgeRows(db: Kysely<Tables>, dialect: Dialect, { linkId, rowsMax }: Purge): Promise<boolean> {
  const rows = await db
    .selectFrom('click_index')
    .select(['at_ms', 'click_id'])
    .where('link_id', '=', linkId)
    .orderBy('at_ms')
    .orderBy('click_id')
    .limit(rowsMax)
    .execute();
  const last = rows.at(-1);
  if (last === undefined) return false;
  const ids = rows.map(({ click_id }) => click_id);
  await db
    .deleteFrom('clicks')
    .where(sql<boolean>`id in ${dialect.idsIn(ids)}`)
    .execute();
  await db
    .deleteFrom('click_figures')
    .where('link_id', '=', linkId)
    .where('kind', '=', FIGURE_KINDS.click)
    .where(sql<boolean>`(at, word) <= (${last.at_ms}, ${last.click_id})`)
    .execute();
  const bySegment = new Map<number, number>();
  for (const id of ids) {
    const segment = Math.floor(id / SEGMENT_SIZE);
    bySegment.set(segment, (bySegment.get(segment) ?? 0) + 1);
  }
  for (const [segment, clicks] of bySegment) await noteRemoved(db, segment, clicks);
  return true;
}

/** Out of the link's figures and of those for all links; what is 0 there then goes too. */
async function purgeTier(db: Kysely<Tables>, kind: number, { linkId, rowsMax }: Purge): Promise<boolean> {
  const all = sql.lit(ALL_LINKS);
  const portion = sql`(select at, word, reason, clicks from click_figures
    where link_id = ${linkId} and kind = ${kind} order by at, word, reason limit ${rowsMax}) as portion`;
  const isInPortion = sql`kind = ${kind} and (at, word, reason) in (select at, word, reason from ${portion})`;
  await addFigures(db, [sql`select ${all}, ${sql.lit(kind)}, at, word, reason, -clicks from ${portion}`]);
  await sql`delete from click_figures where link_id = ${all} and ${isInPortion} and clicks = 0`.execute(db);
  const { numAffectedRows } = await sql`
    delete from click_figures where link_id = ${linkId} and ${isInPortion}`.execute(db);
  return numAffectedRows !== 0n;
}

async function purgeSketches(db: Kysely<Tables>, { linkId, rowsMax }: Purge): Promise<boolean> {
  const { numAffectedRows } = await sql`
    delete from click_figures where link_id = ${linkId} and kind = ${FIGURE_KINDS.visitors} and at in
      (select day from click_visitors where link_id = ${linkId} order by day limit ${rowsMax})`.execute(db);
  return numAffectedRows !== 0n;
}

async function purgeTotals(db: Kysely<Tables>, purge: Purge): Promise<void> {
  const { linkId } = purge;
  const { clicks } = await db
    .selectFrom('click_totals')
    .select((eb) => eb.fn.sum<number | null>('clicks').as('clicks'))
    .where('link_id', '=', linkId)
    .executeTakeFirstOrThrow();
  await addToState(db, 'purged_clicks', clicks ?? 0);
  await purgeTier(db, FIGURE_KINDS.total, purge);
  await deleteQuota(db, linkId);
}
