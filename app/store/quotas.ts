/** How much of a link's `max_clicks` is used, off the redirect's path; the redirect itself takes from it (click-journal.ts). */

import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';

/** Part of purging a link. Nothing else ever takes a row away: it would be a quota that begins anew. */
export async function deleteQuota(db: Kysely<Tables>, linkId: number): Promise<void> {
  await db.deleteFrom('quotas').where('link_id', '=', linkId).execute();
}
