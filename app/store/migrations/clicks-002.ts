/**
 * How far the clicks of a process are in a database that hosts share, and which one that is. Code of schema 1 goes on beside it: it
 * says the same in `folded_to`, and has no host that moved there with clicks of its own.
 */

import type { Migration } from './migration.ts';

export const shippedMigration: Migration = {
  version: 2,
  readableFrom: 1,
  async up(db) {
    await db.schema
      .alterTable('segments')
      .addColumn('shipped_to', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
    await db.schema.alterTable('segments').addColumn('shipped_into', 'bigint').execute();
  },
};
