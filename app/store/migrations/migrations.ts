/** All migrations in their order. Append only: one that was released never changes. */

import { linksMigration } from './001-links.ts';
import type { Migration } from './migration.ts';

export const MIGRATIONS: readonly Migration[] = [linksMigration];

/** The schema this code knows: they are numbered without a gap. */
export const SCHEMA_VERSION = MIGRATIONS.length;
