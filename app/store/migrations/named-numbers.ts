/** A table of single numbers, each with a name. */

import type { Kysely } from 'kysely';
import type { Tables } from '../tables.ts';

export async function createNamedNumbers(
  db: Kysely<Tables>,
  table: 'sequences' | 'host_state' | 'click_state',
): Promise<void> {
  await db.schema
    .createTable(table)
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute();
}
