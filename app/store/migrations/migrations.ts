/** All migrations in their order. Append only: one that was released never changes. */

import { linksMigration } from './001-links.ts';
import { maxClicksMigration } from './002-max-clicks.ts';
import { clicksMigration } from './clicks-001.ts';
import { shippedMigration } from './clicks-002.ts';
import { copyMigration } from './copy-001.ts';
import type { Schema } from './migrate.ts';

export const LINK_SCHEMA: Schema = {
  stateTable: 'schema_state',
  migrations: [linksMigration, maxClicksMigration],
};

export const COPY_SCHEMA: Schema = { stateTable: 'schema_state', migrations: [copyMigration] };

export const CLICK_SCHEMA: Schema = {
  stateTable: 'click_schema_state',
  migrations: [clicksMigration, shippedMigration],
};

/** The schema of links this code knows: migrations are numbered without a gap. */
export const SCHEMA_VERSION = LINK_SCHEMA.migrations.length;
