/**
 * A schema of its own in the shared database, in which a rehearsal migrates and writes: nobody sees it, and it goes when the rehearsal is
 * over. It has the tables as they are, and none of their rows but those that say of which schema they are.
 */

import { createHash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

export interface ScratchSchema {
  /** Where a service finds nothing but this schema. */
  readonly url: string;
  /** Which schema its tables are of; null: there are none yet. */
  readVersions(): Promise<Versions>;
  drop(): Promise<void>;
}

/** By the table that says it. */
export type Versions = Readonly<Record<string, number | null>>;
export const STATE_TABLES = ['schema_state', 'click_schema_state'];
/** Whose rows the service cannot do without. */
const COPIED_TABLES = [...STATE_TABLES, 'sequences', 'click_state'];

interface Client {
  connect(): Promise<void>;
  query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  end(): Promise<void>;
}

type Rows = readonly Record<string, unknown>[];

const ANSWER_MS = 10_000;
/** Of rehearsals, in this database. */
const LOCK = 7_203_991;

/** `host`: of this host among those that share the database. What earlier rehearsals of it left behind goes. */
export async function openScratchSchema(
  databaseUrl: string,
  { host, release }: { readonly host: string; readonly release: string },
): Promise<ScratchSchema> {
  const ours = `fleetlink_rehearsal_${createHash('sha256').update(host).digest('hex').slice(0, 12)}_`;
  // One that goes on after its deploy was ended must not take away another's.
  const schema = `${ours}${randomBytes(6).toString('hex')}`;
  const ask = (text: string): Promise<Rows> => askDatabase(databaseUrl, { release, text });
  // The extension where the service itself would put it: in here it would go with the schema, for all. One host after the other, since
  // it may not be made twice at once.
  await ask(`select pg_advisory_xact_lock(${LOCK}); create extension if not exists pg_trgm;
    do $$ declare old text; begin
      for old in select nspname from pg_namespace where starts_with(nspname, '${ours}') loop
        execute format('drop schema %I cascade', old);
      end loop;
    end $$;
    create schema ${schema};
    do $$ declare name text; begin
      for name in select tablename from pg_tables where schemaname = current_schema() loop
        execute format('create table ${schema}.%I (like %I.%I including all)', name, current_schema(), name);
        if name in (${COPIED_TABLES.map((table) => `'${table}'`).join(', ')}) then
          execute format('insert into ${schema}.%I overriding system value select * from %I.%I', name, current_schema(), name);
        end if;
      end loop;
    end $$`);
  const url = new URL(databaseUrl);
  url.searchParams.set('options', `-c search_path=${schema}`);
  return {
    url: url.href,
    async readVersions() {
      const versions: Record<string, number | null> = {};
      for (const table of STATE_TABLES) {
        const tables = `select 1 from pg_tables where schemaname = '${schema}' and tablename = '${table}'`;
        const isThere = (await ask(tables)).length > 0;
        const [row] = isThere ? await ask(`select version from ${schema}.${table}`) : [];
        versions[table] = (row?.version as number | undefined) ?? null;
      }
      return versions;
    },
    async drop() {
      await ask(`drop schema if exists ${schema} cascade`);
    },
  };
}

/** With the library that the release brings: the host has none of its own. */
async function askDatabase(
  connectionString: string,
  { release, text }: { readonly release: string; readonly text: string },
): Promise<Rows> {
  const { Client } = createRequire(join(release, 'package.json'))('pg') as {
    Client: new (options: object) => Client;
  };
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: ANSWER_MS,
    query_timeout: ANSWER_MS,
  });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
