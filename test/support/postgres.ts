/**
 * A real PostgreSQL for the tests: one server for a test file, and an empty database for each test. `TEST_DATABASE_URL` uses a
 * given database instead, whose user may make schemas and extensions.
 */

import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Test } from 'tap';
import * as server from '../../scripts/postgres-server.ts';

export interface PostgresServer {
  /** An empty database, removed with the test: a schema of its own, which is made and dropped a hundred times sooner. */
  createDatabase(t: Test): Promise<string>;
  /** Ends the server at once, as a power cut does to everybody who is connected. Not of a given one. */
  kill(): Promise<void>;
  /** Stops it in the middle of what it does, and lets it go on. */
  freeze(): void;
  thaw(): void;
  /** Again, on what is there. */
  start(): Promise<void>;
}

/** Ended with `t`, the whole test file, which asks `requireCommand(t, 'initdb')` before. */
export async function startPostgres(t: Test): Promise<PostgresServer> {
  const given = process.env.TEST_DATABASE_URL;
  const started = given === undefined ? await startOwn(t) : null;
  const url = started?.url ?? (given as string);
  // Of the whole database, so that no schema takes it along.
  await server.ask(url, 'create extension if not exists pg_trgm schema public');
  const own = (): server.PostgresServer => {
    if (started === null) throw new Error('A given server is not ours to end.');
    return started;
  };
  return {
    async createDatabase(test) {
      const name = `test_${randomBytes(6).toString('hex')}`;
      await server.ask(url, `create schema ${name}`);
      test.teardown(() => server.ask(url, `drop schema if exists ${name} cascade`));
      const database = new URL(url);
      database.searchParams.set('options', `-c search_path=${name},public`);
      return database.href;
    },
    kill: () => own().kill(),
    freeze: () => own().signal('SIGSTOP'),
    thaw: () => own().signal('SIGCONT'),
    start: () => own().start(),
  };
}

async function startOwn(t: Test): Promise<server.PostgresServer> {
  const own = await server.preparePostgres();
  t.teardown(async () => {
    await own.kill();
    own.remove();
  });
  await own.start();
  return own;
}

/** On a connection of its own. */
export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
