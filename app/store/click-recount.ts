/** What the recount of clicks reads: rows by themselves, and figures held against each other. */

import { type Kysely, sql } from 'kysely';
import type { SegmentFigures, TierDifferences } from '../clicks/click-tiers.ts';
import { ALL_LINKS, SEGMENT_SIZE } from './click-rows.ts';
import type { Tables } from './tables.ts';

export async function listSegments(db: Kysely<Tables>): Promise<SegmentFigures[]> {
  const rows = await db.selectFrom('segments').selectAll().orderBy('id').execute();
  return rows.map(({ id, name, folded_to, batch_to, stage, folded, removed }) => ({
    id,
    name,
    foldedTo: stage > 0 ? batch_to : folded_to,
    folded,
    removed,
  }));
}

/** Rows of a segment behind the sequence `after` up to `upTo`, `rowsMax` at most. */
export async function countRows(
  db: Kysely<Tables>,
  { segment, after, upTo, rowsMax }: { segment: number; after: number; upTo: number; rowsMax: number },
): Promise<{ rows: number; last: number }> {
  const base = segment * SEGMENT_SIZE;
  const { rows } = await sql<{ rows: number; last: number | null }>`
    select count(*) as "rows", max(id) as last from (select id from clicks
      where id > ${base + after} and id <= ${base + upTo} order by id limit ${rowsMax}) as portion`.execute(
    db,
  );
  const [counted = { rows: 0, last: null }] = rows;
  return { rows: counted.rows, last: (counted.last ?? base + upTo) - base };
}

/** One statement, so that all of it is of one moment: about 0.1 µs for each quarter of an hour that had clicks. */
export async function compareTiers(db: Kysely<Tables>): Promise<TierDifferences> {
  const all = sql.lit(ALL_LINKS);
  const { rows } = await sql<TierDifferences>`
    select coalesce(folded, 0) - coalesce(purged, 0) - coalesce(totals, 0) as totals,
      coalesce(totals, 0) - coalesce(quarters, 0) - coalesce(days, 0) as tiers
    from (select
      (select sum(folded) from segments) as folded,
      (select value from click_state where name = 'purged_clicks') as purged,
      (select sum(clicks) from click_totals where link_id = ${all}) as totals,
      (select sum(clicks) from click_quarters where link_id = ${all}) as quarters,
      (select sum(clicks) from click_days where link_id = ${all}) as days) as sums`.execute(db);
  return rows[0] as TierDifferences;
}
