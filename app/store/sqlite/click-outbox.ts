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
  /** Of this process. */
  readonly segment: () => { readonly name: string };
  /** See ClicksDb. */
  readonly beOf: (database: number) => Promise<void>;
}

/** About 5 ms to read, and to forget. */
const BATCH = 500;
const SIZE = sql.lit(SEGMENT_SIZE);

interface Row extends Omit<ShippedClick, 'reason'> {
  readonly segment: string;
  readonly startedAtMs: number;
  readonly reason: number;
}

export function createClickOutbox({ open, dialect, segment, beOf }: ClickOutboxDeps): ClickOutbox {
  const reading = createReading(dialect);
  return {
    bindTo: async (database) => {
      const { reader, writer } = open();
      await reading(beOf(database));
      if (await reading(hasUnbound(reader))) await reading(bind(writer, database, segment().name));
    },
    readBatch: async (database) => reading(readBatch(open().reader, database)),
    forget: async (batch) => reading(dialect.transaction(open().writer, (db) => forget(db, batch))),
    sweep: async () => reading(dialect.transaction(open().writer, sweep)),
    countWaiting: async () => reading(countWaiting(open().reader)),
    countStranded: async (database) => reading(countWaiting(open().reader, sql`shipped_into <> ${database}`)),
  };
}

async function hasUnbound(db: Kysely<Tables>): Promise<boolean> {
  const row = await db
    .selectFrom('segments')
    .select('id')
    .where('shipped_into', 'is', null)
    .executeTakeFirst();
  return row !== undefined;
}

async function bind(db: Kysely<Tables>, database: number, own: string): Promise<void> {
  await db
    .updateTable('segments')
    .set({ shipped_into: database })
    .where('shipped_into', 'is', null)
    .where('id', '<=', (eb) => eb.selectFrom('segments').select('id').where('name', '=', own))
    .execute();
}

/** One question, so that what another process of this host ships meanwhile is in it or is not. */
async function readBatch(db: Kysely<Tables>, database: number): Promise<ClickBatch | null> {
  const { rows } = await sql<Row>`
    with segment as materialized (select id, name, started_at_ms, shipped_to from segments
      where shipped_into = ${database} and exists (select 1 from clicks
        where clicks.id > segments.id * ${SIZE} + segments.shipped_to and clicks.id < (segments.id + 1) * ${SIZE})
      order by id limit 1)
    select (select name from segment) as segment, (select started_at_ms from segment) as "startedAtMs",
      clicks.id % ${SIZE} as sequence, link_id as "linkId", at_ms as "atMs", reason, visitor,
      agents.text as agent, referrers.text as referrer, languages.text as language, countries.text as country
    from clicks left join words as agents on agents.id = agent left join words as referrers on referrers.id = referrer
      left join words as languages on languages.id = language left join words as countries on countries.id = country
    where clicks.id > (select id * ${SIZE} + shipped_to from segment) and clicks.id < (select (id + 1) * ${SIZE} from segment)
    order by clicks.id limit ${BATCH}`.execute(db);
  const [first] = rows;
  if (first === undefined) return null;
  const clicks = rows.map(({ segment, startedAtMs, reason, ...click }) => ({
    ...click,
    reason: toReason(reason),
  }));
  return { segment: first.segment, startedAtMs: first.startedAtMs, clicks };
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

/** By their numbers, which have no gaps: rows are not read. `among`: the segments that are looked at. */
async function countWaiting(db: Kysely<Tables>, among = sql`true`): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select coalesce(sum(max(0, last - id * ${SIZE} - shipped_to)), 0) as count from
      (select id, shipped_to, (select coalesce(max(clicks.id), 0) from clicks
        where clicks.id > segments.id * ${SIZE} and clicks.id < (segments.id + 1) * ${SIZE}) as last
        from segments where ${among})`.execute(db);
  return (rows[0] as { count: number }).count;
}
