/**
 * The clicks of this host that are not in the shared database yet: those behind `shipped_to` of their segment.
 */

import { type Kysely, sql } from 'kysely';
import type { ClickBatch, ClickOutbox, ShippedClick } from '../../fleet/shipper.ts';
import { SEGMENT_SIZE, toReason } from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';
import type { OpenDatabase } from './open-database.ts';

export interface ClickOutboxDeps {
  /** The file as it is open now. Throws AppError unavailable while there is none. */
  readonly open: () => Pick<OpenDatabase, 'reader' | 'writer'>;
  readonly dialect: Dialect;
}

/** About 5 ms to read, and to forget. */
const BATCH = 500;
const SIZE = sql.lit(SEGMENT_SIZE);

interface Row extends Omit<ShippedClick, 'reason'> {
  readonly id: number;
  readonly reason: number;
}

export function createClickOutbox({ open, dialect }: ClickOutboxDeps): ClickOutbox {
  const reading = createReading(dialect);
  return {
    readBatch: async () => reading(readBatch(open().reader)),
    forget: async (batch) => reading(dialect.transaction(open().writer, (db) => forget(db, batch))),
    sweep: async () => reading(dialect.transaction(open().writer, sweep)),
    countWaiting: async () => reading(countWaiting(open().reader)),
  };
}

async function readBatch(db: Kysely<Tables>): Promise<ClickBatch | null> {
  const { rows: segments } = await sql<{
    id: number;
    name: string;
    started_at_ms: number;
    shipped_to: number;
  }>`
    select id, name, started_at_ms, shipped_to from segments
    where exists (select 1 from clicks
      where clicks.id > segments.id * ${SIZE} + segments.shipped_to and clicks.id < (segments.id + 1) * ${SIZE})
    order by id limit 1`.execute(db);
  const [segment] = segments;
  if (segment === undefined) return null;
  const base = segment.id * SEGMENT_SIZE;
  const { rows } = await sql<Row>`
    select clicks.id, clicks.id - ${base} as sequence, link_id as "linkId", at_ms as "atMs", reason, visitor,
      agents.text as agent, referrers.text as referrer, languages.text as language, countries.text as country
    from clicks left join words as agents on agents.id = agent left join words as referrers on referrers.id = referrer
      left join words as languages on languages.id = language left join words as countries on countries.id = country
    where clicks.id > ${base + segment.shipped_to} and clicks.id < ${base + SEGMENT_SIZE}
    order by clicks.id limit ${BATCH}`.execute(db);
  const clicks = rows.map(({ id, reason, ...click }) => ({ ...click, reason: toReason(reason) }));
  return { segment: segment.name, startedAtMs: segment.started_at_ms, clicks };
}

async function forget(db: Kysely<Tables>, { segment, clicks }: ClickBatch): Promise<void> {
  const [{ sequence: first }, { sequence: last }] = [clicks[0], clicks.at(-1)] as [
    ShippedClick,
    ShippedClick,
  ];
  // Another process of this host may have shipped further meanwhile.
  await db
    .updateTable('segments')
    .set({ shipped_to: last })
    .where('name', '=', segment)
    .where('shipped_to', '<', last)
    .execute();
  await sql`
    delete from clicks where id >= (select id * ${SIZE} + ${first} from segments where name = ${segment})
      and id <= (select id * ${SIZE} + ${last} from segments where name = ${segment})`.execute(db);
}

/** False: none are left. */
async function sweep(db: Kysely<Tables>): Promise<boolean> {
  const { numAffectedRows } = await sql`
    delete from clicks where id in (select clicks.id from segments join clicks
      on clicks.id > segments.id * ${SIZE} and clicks.id <= segments.id * ${SIZE} + shipped_to limit ${BATCH})`.execute(
    db,
  );
  return numAffectedRows === BigInt(BATCH);
}

/** By their numbers, which have no gaps: rows are not read. */
async function countWaiting(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select coalesce(sum(max(0, last - id * ${SIZE} - shipped_to)), 0) as count from
      (select id, shipped_to, (select coalesce(max(clicks.id), 0) from clicks
        where clicks.id > segments.id * ${SIZE} and clicks.id < (segments.id + 1) * ${SIZE}) as last from segments)`.execute(
    db,
  );
  return (rows[0] as { count: number }).count;
}
