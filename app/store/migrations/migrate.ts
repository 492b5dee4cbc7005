/**
 * Brings a database to the schema this code was written for, or says why it must not.
 *
 * The database states two numbers: `version`, what it is, and `readable_from`, the oldest code version that can work with
 * it. An expand migration leaves `readable_from`; a contract migration, a release later, raises it. So old and new code
 * run side by side on an expanded schema, and a rollback needs no down migration.
 */

import { type Kysely, sql } from 'kysely';
import { StartError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { Migration } from './migration.ts';

export interface SchemaState {
  readonly version: number;
  readonly readableFrom: number;
}

/** `make`: one that is empty or missing is made, an older one is not migrated. */
export type MigrateMode = 'auto' | 'check' | 'make';

/** What belongs together in one database: links, or clicks. In a shared database both have a state of their own. */
export interface Schema {
  readonly stateTable: 'schema_state' | 'click_schema_state';
  readonly migrations: readonly Migration[];
}

export interface MigrateOptions {
  readonly mode: MigrateMode;
  readonly schema: Schema;
  /** The name of the database for sentences, without secrets. */
  readonly name: string;
}

/** What to do about a database in `state` (null: empty) with code of `codeVersion`. */
export function decideMigration(
  state: SchemaState | null,
  codeVersion: number,
  { mode, name }: Pick<MigrateOptions, 'mode' | 'name'>,
): 'ready' | 'migrate' {
  if (state !== null && state.readableFrom > codeVersion) {
    throw new StartError(
      `${name} has schema ${state.version}, which needs a release that knows schema ${state.readableFrom} or later; ` +
        `this one knows ${codeVersion}. Start a newer release, or restore a backup made by this one.`,
    );
  }
  if (state !== null && state.version >= codeVersion) return 'ready';
  if (mode === 'auto' || (mode === 'make' && state === null)) return 'migrate';
  throw new StartError(
    `${name} has schema ${state?.version ?? 'none'} and this release needs ${codeVersion}, but MIGRATE=check forbids ` +
      'migrating at start. Run the migration as a step of the deploy, or start with MIGRATE=auto.',
  );
}

/** Runs what is missing, each migration with its number in one transaction. Several processes may start at once. */
export async function migrate(
  db: Kysely<Tables>,
  dialect: Dialect,
  options: MigrateOptions,
): Promise<SchemaState> {
  const { stateTable, migrations } = options.schema;
  const codeVersion = migrations.at(-1)?.version ?? 0;
  const found = await readSchemaState(db, dialect, stateTable);
  const decision = decideMigration(found, codeVersion, options);
  if (found !== null && decision === 'ready') return found;
  for (const migration of migrations) {
    await dialect.transaction(db, async (connection) => {
      const state = await readSchemaState(connection, dialect, stateTable);
      if (state !== null && state.version >= migration.version) return;
      await migration.up(connection, dialect);
      await writeSchemaState(connection, stateTable, migration);
    });
  }
  const state = await readSchemaState(db, dialect, stateTable);
  if (state === null) throw new StartError(`${options.name} has no schema after migrating.`);
  return state;
}

/** Null when the database has no schema of ours yet. */
export async function readSchemaState(
  db: Kysely<Tables>,
  dialect: Dialect,
  stateTable: Schema['stateTable'],
): Promise<SchemaState | null> {
  if (!(await dialect.hasTable(db, stateTable))) return null;
  const row = await db.selectFrom(stateTable).selectAll().executeTakeFirst();
  return row === undefined ? null : { version: row.version, readableFrom: row.readable_from };
}

async function writeSchemaState(
  db: Kysely<Tables>,
  stateTable: Schema['stateTable'],
  { version, readableFrom }: Migration,
): Promise<void> {
  await sql`create table if not exists ${sql.table(stateTable)}
    (one integer primary key check (one = 1), version integer not null, readable_from integer not null)`.execute(
    db,
  );
  await db
    .insertInto(stateTable)
    .values({ one: 1, version, readable_from: readableFrom })
    .onConflict((conflict) => conflict.column('one').doUpdateSet({ version, readable_from: readableFrom }))
    .execute();
}
