/** Stores as the service opens them, for tests below it. */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../app/kernel/clock.ts';
import type { Dialect } from '../../app/store/dialect.ts';
import type { MigrateMode } from '../../app/store/migrations/migrate.ts';
import { LINK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { openStore as open, type StoreOptions } from '../../app/store/open-store.ts';
import { type OpenDatabase, openDatabase } from '../../app/store/sqlite/open-database.ts';
import type { Store } from '../../app/store/store.ts';

/** SQLite alone, unless `databaseUrl` names a database that hosts share. */
export function openStore(options: Partial<StoreOptions> & Pick<StoreOptions, 'dataDir'>): Promise<Store> {
  return open({
    databaseUrl: null,
    needsDatabase: false,
    migrate: 'auto',
    clock: systemClock,
    random: Math.random,
    randomBytes,
    clickDurability: 'process',
    staleMaxMs: Number.POSITIVE_INFINITY,
    readLoop: () => performance.eventLoopUtilization(),
    onTrouble: () => undefined,
    onClicksSetAside: () => undefined,
    onClicksMissing: () => undefined,
    onLinksOlder: () => undefined,
    ...options,
  });
}

export interface OpenLinksDbOptions {
  readonly dataDir: string;
  readonly migrate: MigrateMode;
  readonly dialect: Dialect;
}

export function openLinksDb({ dataDir, ...options }: OpenLinksDbOptions): Promise<OpenDatabase> {
  return openDatabase({
    path: join(dataDir, 'links.db'),
    schema: LINK_SCHEMA,
    synchronous: 'FULL',
    walPagesMax: 0,
    ...options,
  });
}
