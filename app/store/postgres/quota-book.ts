/** `max_clicks` of links that hosts share: one conditional update decides, so that no two hosts give out the same click. */

import { type Kysely, sql } from 'kysely';
import type { Limit, QuotaBook } from '../../fleet/shared-quotas.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

export function createQuotaBook(db: Kysely<Tables>, dialect: Dialect): QuotaBook {
  const reading = createReading(dialect);

  /** Up to the lower limit of the two, since the host may know an older one. Null: the link has no row yet, or is gone. */
  async function update(linkId: number, clicksMax: number, count: number): Promise<number | null> {
    const { rows } = await sql<{ taken: number }>`
      update quotas set used = greatest(before.used, least(before.used + ${count}, ${clicksMax}, before.max_clicks))
      from (select quotas.link_id, quotas.used, links.max_clicks from quotas join links on links.id = quotas.link_id
        where quotas.link_id = ${linkId} for update of quotas) as before
      where quotas.link_id = before.link_id returning quotas.used - before.used as taken`.execute(db);
    return rows[0]?.taken ?? null;
  }

  /** Of a limit without a row: whether nothing was used of it yet. */
  async function isNew({ setBySeq }: Limit): Promise<boolean> {
    const madeAt = db.selectFrom('click_state').select('value').where('name', '=', 'made_at_seq');
    return setBySeq > (await madeAt.executeTakeFirstOrThrow()).value;
  }

  async function take(limit: Limit, count: number): Promise<number | null> {
    const { linkId, clicksMax } = limit;
    const taken = await update(linkId, clicksMax, count);
    if (taken !== null) return taken;
    if (!(await isNew(limit))) return null;
    await sql`
      insert into quotas (link_id, used) select id, 0 from links where id = ${linkId}
      on conflict (link_id) do nothing`.execute(db);
    // Of a link that was purged a moment ago nothing is left.
    return (await update(linkId, clicksMax, count)) ?? 0;
  }

  async function readUsed(limit: Limit): Promise<number | null> {
    const quota = db.selectFrom('quotas').select('used').where('link_id', '=', limit.linkId);
    const row = await quota.executeTakeFirst();
    if (row !== undefined) return row.used;
    return (await isNew(limit)) ? 0 : null;
  }

  return {
    take: (...args) => reading(take(...args)),
    readUsed: (limit) => reading(readUsed(limit)),
  };
}
