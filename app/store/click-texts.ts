/** The texts behind the numbers in the tables of clicks. */

import { type Kysely, sql } from 'kysely';
import type { Dialect } from './dialect.ts';
import type { Tables } from './tables.ts';

/** A number without a text is missing. */
export async function readWords(
  db: Kysely<Tables>,
  dialect: Dialect,
  ids: readonly number[],
): Promise<Map<number, string>> {
  const rows = await db
    .selectFrom('words')
    .select(['id', 'text'])
    .where(sql<boolean>`id in ${dialect.idsIn(ids)}`)
    .execute();
  return new Map(rows.map(({ id, text }) => [id, text]));
}
