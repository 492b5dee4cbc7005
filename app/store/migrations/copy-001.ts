/**
 * A host's copy of shared links: one row a key, with what a redirect needs. It looks to a redirect as links.db does, so that
 * both are read by the same statement.
 */

import type { Migration } from './migration.ts';
import { createNamedNumbers } from './named-numbers.ts';

export const copyMigration: Migration = {
  version: 1,
  readableFrom: 1,
  async up(db, dialect) {
    // `released`: 1, no link has the key. `as_of`: the change after which that is so, in the history that the copy followed as the
    // `run`-th one.
    await db.schema
      .createTable('links')
      .addColumn('key', dialect.keyType, (column) => column.primaryKey())
      .addColumn('domain', 'text', (column) => column.notNull())
      .addColumn('released', 'integer', (column) => column.notNull())
      .addColumn('run', 'bigint', (column) => column.notNull())
      .addColumn('as_of', 'bigint', (column) => column.notNull())
      .addColumn('id', 'bigint')
      .addColumn('url', 'text')
      .addColumn('status', 'text')
      .addColumn('redirect_status', 'integer')
      .addColumn('expires_at_ms', 'bigint')
      .addColumn('max_clicks', 'bigint')
      .addColumn('max_clicks_seq', 'bigint')
      .modifyEnd(dialect.clustered)
      .execute();
    // What was written lately, for whoever remembers links.
    await db.schema
      .createTable('events')
      .addColumn('seq', dialect.idType, dialect.idColumn)
      .addColumn('key', 'text', (column) => column.notNull())
      .execute();
    await createNamedNumbers(db, 'sequences');
    // What a host remembers of itself.
    await createNamedNumbers(db, 'host_state');
  },
};
