/**
 * Everything that is kept in SQLite, opened together and closed together. links.db is the truth and is synced to the disk with
 * each commit; clicks.db may be lost without a link being lost.
 */

import { join } from 'node:path';
import type Database from 'better-sqlite3';
import type { Clock } from '../../kernel/clock.ts';
import { AppError, StartError } from '../../kernel/errors.ts';
import { createApiKeyStore } from '../api-key-store.ts';
import { createClickLog } from '../click-log.ts';
import { createClickStats } from '../click-stats.ts';
import { createClickTierStore } from '../click-tier-store.ts';
import { createGroupCommit } from '../group-commit.ts';
import { createHostStateStore } from '../host-state-store.ts';
import { createLinkStore } from '../link-store.ts';
import type { MigrateMode } from '../migrations/migrate.ts';
import { LINK_SCHEMA, SCHEMA_VERSION } from '../migrations/migrations.ts';
import { isMoved } from '../move/freeze.ts';
import { createNearKeyStore } from '../near-keys.ts';
import { createPurgedLinks } from '../purged-links.ts';
import { createReading } from '../reading.ts';
import { createSliStore } from '../sli-store.ts';
import type { Store } from '../store.ts';
import { createUnknownKeyStore } from '../unknown-key-store.ts';
import { createSqliteDialect } from './dialect.ts';
import { type MissingClicks, openClicksDb, reportingTo } from './open-clicks-db.ts';
import { type OpenDatabase, openDatabase } from './open-database.ts';
import { raiseNumbers } from './raise-numbers.ts';
import { createRedirectLookup, NO_KEY } from './redirect-lookup.ts';

export interface OpenStoreOptions {
  readonly dataDir: string;
  readonly migrate: MigrateMode;
  readonly clock: Clock;
  readonly random: () => number;
  readonly randomBytes: (size: number) => Buffer;
  readonly clickDurability: 'process' | 'power';
  /** Told when a damaged clicks.db was moved to `path`. */
  readonly onClicksSetAside: (path: string, error: unknown) => void;
  /** Told what went with a clicks.db in whose place there is a new one now. */
  readonly onClicksMissing: (missing: MissingClicks) => void;
  /** Told when links.db is older than clicks.db, as a backup that was put back alone. */
  readonly onLinksOlder: () => void;
}

/** Throws StartError with one sentence for the operator. */
export async function openSqliteStore(options: OpenStoreOptions): Promise<Store> {
  const { dataDir, migrate, clock, random, randomBytes } = options;
  const dialect = createSqliteDialect({ clock, random });
  const path = join(dataDir, 'links.db');
  const db = await openDatabase({
    path,
    schema: LINK_SCHEMA,
    migrate,
    dialect,
    synchronous: 'FULL',
    walPagesMax: 0,
  });
  if (isMoved(db.readerConnection)) {
    db.close();
    throw new StartError(
      `The links of ${path} have moved to a shared database, and can only be changed there. Set DATABASE_URL to it, or go back with \`npm run migrate:store -- --from sqlite:${dataDir} --cancel\`.`,
    );
  }
  const clicks = await openClicksDb({
    dataDir,
    migrate,
    dialect,
    clock,
    random,
    randomBytes,
    durability: options.clickDurability,
    readSeq: createSeqReader(db.readerConnection),
    onSetAside: options.onClicksSetAside,
    onMissing: options.onClicksMissing,
  }).catch((error: unknown) => {
    db.close();
    throw error;
  });
  if (await raiseNumbers(db, clicks, dialect)) options.onLinksOlder();
  const { reader } = db;
  const clicksDialect = reportingTo(clicks, dialect);
  const clicksReader = () => clicks.database().reader;
  const { lookup, endSnapshot, figures } = createRedirectLookup(db.readerConnection);
  const writes = createGroupCommit(db.writer, {
    clock,
    dialect,
    requireInPlace: () => requireInPlace(db),
    onCommitted: endSnapshot,
  });
  return {
    links: createLinkStore({ reader, writes, dialect, lookup }),
    lookups: figures,
    apiKeys: createApiKeyStore({ reader, writes, dialect }),
    drain: createHostStateStore({ reader, writes, dialect }),
    clicks,
    stats: createClickStats({
      links: reader,
      readingLinks: createReading(dialect),
      clicks: clicksReader,
      dialect: clicksDialect,
    }),
    clickLog: createClickLog({ clicks: clicksReader, dialect: clicksDialect }),
    tiers: createClickTierStore({ open: clicks.database, dialect: clicksDialect, clock }),
    purgedLinks: createPurgedLinks({ reader, dialect }),
    sli: createSliStore({ open: clicks.database, dialect: clicksDialect }),
    unknownKeys: createUnknownKeyStore({
      reader: clicksReader,
      writer: () => clicks.database().writer,
      dialect: clicksDialect,
    }),
    nearKeys: createNearKeyStore({ reader, dialect }),
    sharing: null,
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
      clicks.close();
      db.close();
    },
  };
}

function requireInPlace(db: OpenDatabase): void {
  try {
    db.requireInPlace();
  } catch (cause) {
    // Where it lies is for the log, not for clients.
    throw new AppError('unavailable', STRANGE_FILE, { cause, retryAfterSeconds: 1 });
  }
}

const STRANGE_FILE =
  'The database was deleted or replaced while it was in use. Links still redirect; to make new ones put links.db and ' +
  'links.db-wal back, or restart the service on what is there.';

/** The number of the last change of links. */
function createSeqReader(connection: Database.Database): () => number {
  const statement = connection
    .prepare<[], number>("select value from sequences where name = 'event'")
    .pluck();
  return () => statement.get() as number;
}
