/** `max_clicks` of links that hosts share: one conditional update decides, so that no two hosts give out the same click. */

import { type Kysely, sql } from 'kysely';
import type { QuotaBook } from '../../fleet/shared-quotas.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

export function createQuotaBook(db: Kysely<Tables>, dialect: Dialect): QuotaBook {
  const reading = createReading(dialect);

  /** Null: the link has no row yet. */
  async function update(linkId: number, clicksMax: number, count: number): Promise<number | null> {
    const { rows } = await sql<{ taken: number }>`
      update quotas set used = greatest(before.used, least(before.used + ${count}, ${clicksMax}))
      from (select link_id, used from quotas where link_id = ${linkId} for update) as before
      where quotas.link_id = before.link_id returning quotas.used - before.used as taken`.execute(db);
    return rows[0]?.taken ?? null;
  }

  async function take(linkId: number, clicksMax: number, count: number): Promise<number> {
    for (;;) {
      const taken = await update(linkId, clicksMax, count);
      if (taken !== null) return taken;
      await db
        .insertInto('quotas')
        .values({ link_id: linkId, used: 0 })
        .onConflict((conflict) => conflict.column('link_id').doNothing())
        .execute();
    }
  }

  async function readUsed(linkId: number): Promise<number> {
    const row = await db.selectFrom('quotas').select('used').where('link_id', '=', linkId).executeTakeFirst();
    return row?.used ?? 0;
  }

  return {
    take: (...args) => reading(take(...args)),
    readUsed: (linkId) => reading(readUsed(linkId)),
  };
}
