/** Everything that is kept in SQLite, opened together and closed together. */

import type { ApiKeyStore } from '../../auth/api-key.ts';
import type { DrainStore } from '../../health/drain.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { LinkStore } from '../../links/link-store.ts';
import { createApiKeyStore } from '../api-key-store.ts';
import { createGroupCommit } from '../group-commit.ts';
import { createHostStateStore } from '../host-state-store.ts';
import { createLinkStore } from '../link-store.ts';
import type { MigrateMode } from '../migrations/migrate.ts';
import { SCHEMA_VERSION } from '../migrations/migrations.ts';
import { createSqliteDialect } from './dialect.ts';
import { openLinksDb } from './open-links-db.ts';
import { createRedirectLookup } from './redirect-lookup.ts';

export interface Store {
  readonly links: LinkStore;
  readonly apiKeys: ApiKeyStore;
  readonly drain: DrainStore;
  /** Reads as a redirect does; throws when that fails, or when the schema has become too new for this code. */
  probe(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenStoreOptions {
  readonly dataDir: string;
  readonly migrate: MigrateMode;
  readonly clock: Clock;
  readonly random: () => number;
}

/** A key has at least one character. */
const NO_KEY = '';

/** Throws StartError with one sentence for the operator. */
export async function openSqliteStore({ dataDir, migrate, clock, random }: OpenStoreOptions): Promise<Store> {
  const dialect = createSqliteDialect({ clock, random });
  const db = await openLinksDb({ dataDir, migrate, dialect });
  const { reader } = db;
  const { lookup, endSnapshot } = createRedirectLookup(db.readerConnection);
  const writes = createGroupCommit(db.writer, {
    dialect,
    requireInPlace: db.requireInPlace,
    onCommitted: endSnapshot,
  });
  return {
    links: createLinkStore({ reader, writes, dialect, lookup }),
    apiKeys: createApiKeyStore({ reader, writes, dialect }),
    drain: createHostStateStore({ reader, writes, dialect }),
    async probe() {
      db.requireInPlace();
      lookup(NO_KEY);
      const { readable_from: needed } = await reader
        .selectFrom('schema_state')
        .select('readable_from')
        .executeTakeFirstOrThrow();
      if (needed > SCHEMA_VERSION) {
        throw new Error(
          `links.db now needs a release that knows schema ${needed}; this one knows ${SCHEMA_VERSION}.`,
        );
      }
    },
    async close() {
      await writes.close();
      db.close();
    },
  };
}
