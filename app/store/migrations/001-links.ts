/**
 * The first schema: links with their history, API keys, and what a host remembers of itself.
 */

import { sql } from 'kysely';
import type { Migration } from './migration.ts';
import { createNamedNumbers } from './named-numbers.ts';

export const linksMigration: Migration = {
  version: 1,
  readableFrom: 1,
  async up(db, dialect) {
    await db.schema
      .createTable('links')
      .addColumn('id', dialect.idType, dialect.idColumn)
      .addColumn('domain', 'text', (column) => column.notNull())
      .addColumn('key', dialect.keyType, (column) => column.notNull())
      .addColumn('url', 'text', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('redirect_status', 'integer', (column) => column.notNull())
      .addColumn('expires_at_ms', 'bigint')
      .addColumn('title', 'text')
      .addColumn('tags', 'text', (column) => column.notNull())
      .addColumn('version', 'integer', (column) => column.notNull())
      .addColumn('seq', 'bigint', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
      .addColumn('updated_at_ms', 'bigint', (column) => column.notNull())
      .addColumn('deleted_at_ms', 'bigint')
      .addColumn('released', 'integer', (column) => column.notNull())
      .addColumn('search', 'text', (column) => column.notNull())
      .execute();
    // One owner a key: decides collisions, and is how a redirect finds its link.
    await sql`create unique index links_key_owner on links (domain, key) where released = 0`.execute(db);
    // GET /links?sort=key, which lists released rows too.
    await sql`create index links_by_key on links (key, id)`.execute(db);
    // GET /links?sort=updated_at: the number of the last change orders like its time, and is unique.
    await sql`create unique index links_by_seq on links (seq)`.execute(db);
    // GET /links?status=disabled|deleted, the rare ones.
    await sql`create index links_by_rare_status on links (status, id) where status <> 'enabled'`.execute(db);

    await db.schema
      .createTable('link_tags')
      .addColumn('tag', dialect.keyType, (column) => column.notNull())
      .addColumn('link_id', 'bigint', (column) => column.notNull().references('links.id').onDelete('cascade'))
      .addPrimaryKeyConstraint('link_tags_pk', ['tag', 'link_id'])
      .execute();
    // A link's own tags, when they change.
    await sql`create index link_tags_by_link on link_tags (link_id)`.execute(db);

    await db.schema
      .createTable('events')
      .addColumn('seq', 'bigint', (column) => column.primaryKey())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('link_id', 'bigint', (column) => column.notNull())
      .addColumn('domain', 'text', (column) => column.notNull())
      .addColumn('key', dialect.keyType, (column) => column.notNull())
      .addColumn('version', 'integer', (column) => column.notNull())
      .addColumn('by', 'text', (column) => column.notNull())
      .addColumn('at_ms', 'bigint', (column) => column.notNull())
      .addColumn('options', 'text')
      .execute();
    // GET /links/:key/history, and the version that a revert goes back to.
    await sql`create unique index events_by_link on events (link_id, version)`.execute(db);

    // `event` numbers the changes, `key` feeds the counter strategy; the value is the last number taken.
    await createNamedNumbers(db, 'sequences');
    await sql`insert into sequences (name, value) values ('event', 0), ('key', 0)`.execute(db);

    await db.schema
      .createTable('api_keys')
      .addColumn('id', dialect.idType, dialect.idColumn)
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('scopes', 'text', (column) => column.notNull())
      .addColumn('hash', 'text', (column) => column.notNull().unique())
      .addColumn('origin', 'text', (column) => column.notNull())
      .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
      .addColumn('expires_at_ms', 'bigint')
      .addColumn('last_used_at_ms', 'bigint')
      .execute();

    await createNamedNumbers(db, 'host_state');

    await dialect.createSearchIndex(db);
  },
};
