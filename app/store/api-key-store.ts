/** API keys over Kysely. */

import type { Kysely, Selectable } from 'kysely';
import {
  API_KEYS_MAX,
  type ApiKey,
  type ApiKeyOrigin,
  type ApiKeyStore,
  type DeleteKeyOutcome,
  type NewApiKey,
  type Scope,
} from '../auth/api-key.ts';
import type { Dialect } from './dialect.ts';
import type { GroupCommit } from './group-commit.ts';
import { createReading } from './reading.ts';
import type { ApiKeyTable, Tables } from './tables.ts';

export interface ApiKeyStoreDeps {
  readonly reader: Kysely<Tables>;
  readonly writes: GroupCommit;
  readonly dialect: Dialect;
}

export function createApiKeyStore({ reader, writes, dialect }: ApiKeyStoreDeps): ApiKeyStore {
  const write = <T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> => writes.run(1, work);

  const reading = createReading(dialect);

  return {
    insertKey: (key, hash) => write((db) => insertKey(db, key, hash)),

    insertFirstAdminKey: (key, handOver) => write((db) => insertFirstAdminKey(db, key, handOver)),

    async findKeyByHash(hash) {
      const row = await reading(
        reader.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst(),
      );
      return row === undefined ? null : { key: toApiKey(row), hash: row.hash };
    },

    listKeys: () => reading(listKeys(reader)),

    deleteKey: (id) => write((db) => deleteKey(db, id)),

    replaceEnvironmentKey: (key) => write((db) => replaceEnvironmentKey(db, key)),

    async touchKey(id, usedAtMs) {
      await write((db) =>
        db.updateTable('api_keys').set({ last_used_at_ms: usedAtMs }).where('id', '=', id).execute(),
      );
    },
  };
}

async function listKeys(db: Kysely<Tables>): Promise<ApiKey[]> {
  const rows = await db.selectFrom('api_keys').selectAll().orderBy('id').execute();
  return rows.map(toApiKey);
}

async function insertKey(db: Kysely<Tables>, key: NewApiKey, hash: string): Promise<ApiKey | null> {
  if (key.origin === 'user' && (await countValidKeys(db, key.createdAtMs)) >= API_KEYS_MAX) return null;
  const { id } = await db
    .insertInto('api_keys')
    .values({
      name: key.name,
      scopes: key.scopes.join(' '),
      hash,
      origin: key.origin,
      created_at_ms: key.createdAtMs,
      expires_at_ms: key.expiresAtMs,
      last_used_at_ms: null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return { ...key, id, lastUsedAtMs: null };
}

async function insertFirstAdminKey(
  db: Kysely<Tables>,
  key: NewApiKey,
  handOver: () => string,
): Promise<ApiKey | null> {
  const hasAdmin = (await listKeys(db)).some(isLastingAdmin);
  return hasAdmin ? null : insertKey(db, key, handOver());
}

async function countValidKeys(db: Kysely<Tables>, nowMs: number): Promise<number> {
  const { count } = await db
    .selectFrom('api_keys')
    .select((eb) => eb.fn.countAll().as('count'))
    .where((eb) => eb.or([eb('expires_at_ms', 'is', null), eb('expires_at_ms', '>', nowMs)]))
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function deleteKey(db: Kysely<Tables>, id: number): Promise<DeleteKeyOutcome> {
  const keys = await listKeys(db);
  const key = keys.find((candidate) => candidate.id === id);
  if (key === undefined) return 'not_found';
  if (key.origin === 'environment') return 'environment';
  if (isLastingAdmin(key) && keys.filter(isLastingAdmin).length === 1) return 'last_admin';
  await db.deleteFrom('api_keys').where('id', '=', id).execute();
  return 'deleted';
}

function isLastingAdmin(key: ApiKey): boolean {
  return key.scopes.includes('admin') && key.expiresAtMs === null;
}

async function replaceEnvironmentKey(
  db: Kysely<Tables>,
  key: { hash: string; createdAtMs: number } | null,
): Promise<void> {
  const held = await db
    .selectFrom('api_keys')
    .select('hash')
    .where('origin', '=', 'environment')
    .executeTakeFirst();
  if (held?.hash === key?.hash) return;
  await db.deleteFrom('api_keys').where('origin', '=', 'environment').execute();
  if (key === null) return;
  // The same secret may have been a key of another origin before.
  await db.deleteFrom('api_keys').where('hash', '=', key.hash).execute();
  await db
    .insertInto('api_keys')
    .values({
      name: 'ADMIN_API_KEY',
      scopes: 'admin',
      hash: key.hash,
      origin: 'environment',
      created_at_ms: key.createdAtMs,
      expires_at_ms: null,
      last_used_at_ms: null,
    })
    .execute();
}

function toApiKey(row: Selectable<ApiKeyTable>): ApiKey {
  return {
    id: row.id,
    name: row.name,
    scopes: row.scopes.split(' ') as Scope[],
    origin: row.origin as ApiKeyOrigin,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    lastUsedAtMs: row.last_used_at_ms,
  };
}
