/** How much room clicks take, asked without reading them. */

import { type Kysely, sql } from 'kysely';
import type { ClickStorage } from '../clicks/click-tiers.ts';
import { DAY_MS } from '../clicks/visitor.ts';
import { QUARTER_MS } from '../stats/plan.ts';
import { ALL_LINKS, SEGMENT_SIZE } from './click-rows.ts';
import type { Dialect } from './dialect.ts';
import type { Tables } from './tables.ts';

interface StorageRow {
  readonly folded: number;
  readonly removed: number;
  readonly waiting: number;
  readonly oldest_click_ms: number | null;
  readonly quarter: number | null;
  readonly day: number | null;
  readonly detail_day: number | null;
  readonly visitor_day: number | null;
}

/** What waits is counted one by one, up to so many. */
const WAITING_MAX = 100_000;

export async function readStorage(db: Kysely<Tables>, dialect: Dialect): Promise<ClickStorage> {
  const all = sql.lit(ALL_LINKS);
  const size = sql.lit(SEGMENT_SIZE);
  const { rows } = await sql<StorageRow>`select
    coalesce((select sum(folded) from segments), 0) as folded,
    coalesce((select sum(removed) from segments), 0) as removed,
    (select count(*) from (select clicks.id from segments join clicks
      on clicks.id > segments.id * ${size} + segments.folded_to and clicks.id < (segments.id + 1) * ${size}
      where is_over = 0 limit ${sql.lit(WAITING_MAX)}) as waiting) as waiting,
    (select min(first_at_ms) from (select (select at_ms from clicks
      where clicks.id > segments.id * ${size} and clicks.id < (segments.id + 1) * ${size}
      order by clicks.id limit 1) as first_at_ms from segments) as firsts) as oldest_click_ms,
    (select min(quarter) from click_quarters) as quarter,
    (select min(day) from click_days where link_id = ${all}) as day,
    (select min(day) from click_details where link_id = ${all}) as detail_day,
    (select min(day) from click_visitors where link_id = ${all}) as visitor_day`.execute(db);
  const row = rows[0] as StorageRow;
  return {
    bytes: await dialect.databaseBytes(db),
    clicks: row.folded - row.removed + row.waiting,
    waiting: row.waiting,
    oldestClickMs: row.oldest_click_ms,
    oldestQuarterMs: startOf(row.quarter, QUARTER_MS),
    oldestDayMs: startOf(row.day, DAY_MS),
    oldestDetailMs: startOf(row.detail_day, DAY_MS),
    oldestVisitorMs: startOf(row.visitor_day, DAY_MS),
  };
}

function startOf(number: number | null, lengthMs: number): number | null {
  return number === null ? null : number * lengthMs;
}
