/**
 * `max_clicks` of links. Code of schema 1 goes on beside it: it keeps what stands in the columns, makes links without a limit,
 * and follows every link without asking, as it does for the seconds of a reload.
 */

import type { Migration } from './migration.ts';

export const maxClicksMigration: Migration = {
  version: 2,
  readableFrom: 1,
  async up(db) {
    await db.schema.alterTable('links').addColumn('max_clicks', 'bigint').execute();
    // The change that last set `max_clicks`: one before clicks.db was made cannot know what was used of it.
    await db.schema
      .alterTable('links')
      .addColumn('max_clicks_seq', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
  },
};
