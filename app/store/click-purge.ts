/**
 * Removes what is stored of one link's clicks, and takes them out of what is counted for all links together; only the sketches
 * of all visitors keep them, from which nothing can be taken, and nobody can be read. Each call is one transaction of at most
 * `rowsMax` rows, so it may end anywhere: what a call removed it also took out.
 */

import { type Kysely, sql } from 'kysely';
import { noteRemoved } from './click-retention.ts';
import { ALL_LINKS, SEGMENT_SIZE } from './click-rows.ts';
import { addToState } from './click-state.ts';
import type { Dialect } from './dialect.ts';
import { deleteQuota } from './quotas.ts';
import type { Tables } from './tables.ts';

interface Purge {
  readonly linkId: number;
  readonly rowsMax: number;
}

/** False: nothing is left. Totals go last, so that a link whose removal began is still known until it ends. */
export async function purgeLink(db: Kysely<Tables>, dialect: Dialect, purge: Purge): Promise<boolean> {
  return (
    (await purgeRows(db, dialect, purge)) ||
    (await purgeTier(db, 'click_quarters', ['quarter', 'reason'], purge)) ||
    (await purgeTier(db, 'click_days', ['day', 'reason'], purge)) ||
    (await purgeTier(db, 'click_details', ['day', 'reason', 'kind', 'word'], purge)) ||
    (await purgeSketches(db, purge)) ||
    (await purgeTotals(db, purge))
  );
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
    .deleteFrom('click_index')
    .where('link_id', '=', linkId)
    .where(sql<boolean>`(at_ms, click_id) <= (${last.at_ms}, ${last.click_id})`)
    .execute();
  const bySegment = new Map<number, number>();
  for (const id of ids) {
    const segment = Math.floor(id / SEGMENT_SIZE);
    bySegment.set(segment, (bySegment.get(segment) ?? 0) + 1);
  }
  for (const [segment, clicks] of bySegment) await noteRemoved(db, segment, clicks);
  return true;
}

type Tier = 'click_quarters' | 'click_days' | 'click_details' | 'click_totals';

async function purgeTier(
  db: Kysely<Tables>,
  tier: Tier,
  columns: readonly string[],
  { linkId, rowsMax }: Purge,
): Promise<boolean> {
  const table = sql.table(tier);
  const key = sql.join(columns.map((name) => sql.ref(name)));
  const portion = sql`(select ${key}, clicks from ${table}
    where link_id = ${linkId} order by ${key} limit ${rowsMax}) as portion`;
  await sql`
    insert into ${table} (link_id, ${key}, clicks)
    select ${sql.lit(ALL_LINKS)}, ${key}, -clicks from ${portion} where true
    on conflict (link_id, ${key}) do update set clicks = ${table}.clicks + excluded.clicks`.execute(db);
  await sql`
    delete from ${table} where link_id = ${sql.lit(ALL_LINKS)} and clicks = 0
      and (${key}) in (select ${key} from ${portion})`.execute(db);
  const { numAffectedRows } = await sql`
    delete from ${table} where link_id = ${linkId} and (${key}) in (select ${key} from ${portion})`.execute(
    db,
  );
  return numAffectedRows !== 0n;
}

async function purgeSketches(db: Kysely<Tables>, { linkId, rowsMax }: Purge): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('click_visitors')
    .where('link_id', '=', linkId)
    .where('day', 'in', (eb) =>
      eb
        .selectFrom('click_visitors')
        .select('day')
        .where('link_id', '=', linkId)
        .orderBy('day')
        .limit(rowsMax),
    )
    .executeTakeFirst();
  return numDeletedRows !== 0n;
}

async function purgeTotals(db: Kysely<Tables>, purge: Purge): Promise<false> {
  const { linkId } = purge;
  const { clicks } = await db
    .selectFrom('click_totals')
    .select((eb) => eb.fn.sum<number | null>('clicks').as('clicks'))
    .where('link_id', '=', linkId)
    .executeTakeFirstOrThrow();
  await addToState(db, 'purged_clicks', clicks ?? 0);
  await purgeTier(db, 'click_totals', ['reason'], purge);
  await deleteQuota(db, linkId);
  return false;
}
