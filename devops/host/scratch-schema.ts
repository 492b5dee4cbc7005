/**
 * A schema of its own in the shared database, in which a rehearsal migrates and writes: nobody sees it, and it goes when the rehearsal is
 * over. It has the tables that the release of now makes, and none of their rows.
 */

import { createRequire } from 'node:module';
import { join } from 'node:path';

export interface ScratchSchema {
  /** Where a service finds nothing but this schema. */
  readonly url: string;
  drop(): Promise<void>;
}

interface Client {
  connect(): Promise<void>;
  query(text: string): Promise<unknown>;
  end(): Promise<void>;
}

const ANSWER_MS = 10_000;
/** Of rehearsals, in this database. */
const LOCK = 7_203_991;

/** `host`: of this host among those that share the database. What an earlier rehearsal of it left behind goes. */
export async function openScratchSchema(
  databaseUrl: string,
  { host, release }: { readonly host: string; readonly release: string },
): Promise<ScratchSchema> {
  const schema = `fleetlink_rehearsal_${host.replaceAll('-', '_')}`;
  const ask = (text: string): Promise<void> => askDatabase(databaseUrl, { release, text });
  const drop = (): Promise<void> => ask(`drop schema if exists ${schema} cascade`);
  // The extension where the service itself would put it: in here it would go with the schema, for all. One host after the other, since
  // it may not be made twice at once.
  await ask(`select pg_advisory_xact_lock(${LOCK}); create extension if not exists pg_trgm;
    drop schema if exists ${schema} cascade; create schema ${schema}`);
  const url = new URL(databaseUrl);
  url.searchParams.set('options', `-c search_path=${schema}`);
  return { url: url.href, drop };
}

/** With the library that the release brings: the host has none of its own. */
async function askDatabase(
  connectionString: string,
  { release, text }: { readonly release: string; readonly text: string },
): Promise<void> {
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
    await client.query(text);
  } finally {
    await client.end();
  }
}
