// Runs the contract suites on a real PostgreSQL.

import { deepStrictEqual } from 'node:assert';
import type { Test } from 'tap';
import t from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import { createApiKeyStore } from '../../app/store/api-key-store.ts';
import { createGroupCommit } from '../../app/store/group-commit.ts';
import { createHostStateStore } from '../../app/store/host-state-store.ts';
import { createLinkStore } from '../../app/store/link-store.ts';
import { createChangeFeed } from '../../app/store/postgres/change-feed.ts';
import { openPostgres } from '../../app/store/postgres/open-postgres.ts';
import type { Store } from '../../app/store/store.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { openStore } from '../support/store.ts';
import { testApiKeyStore } from './api-key-store.ts';
import { testLinkList } from './link-list.ts';
import { testLinkStore } from './link-store.ts';
import { testLinkStoreModel, testRevertProperty } from './link-store-model.ts';
import type { OpenedStore } from './store.ts';

let server: PostgresServer;

async function openShared(t: Test): Promise<OpenedStore> {
  return open(t, await server.createDatabase(t));
}

async function open(t: Test, url: string): Promise<OpenedStore> {
  const {
    db,
    links: dialect,
    close: end,
  } = await openPostgres({ url, migrate: 'auto', onBroken: () => undefined, clock: systemClock });
  const writes = createGroupCommit(db, {
    clock: systemClock,
    dialect,
    requireInPlace: () => undefined,
    onCommitted: () => undefined,
  });
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= writes.close().then(end);
    return closing;
  };
  t.teardown(close);
  const deps = { reader: db, writes, dialect };
  const feed = createChangeFeed(db, dialect);
  return {
    links: createLinkStore({
      ...deps,
      lookup: async (key) => (await feed.readKeys([key]))[0]?.facts ?? null,
    }),
    apiKeys: createApiKeyStore(deps),
    drain: createHostStateStore(deps),
    close,
    openAgain: () => open(t, url),
  };
}

/** Commands go to two hosts in turn; what one of them has told, the other one redirects to as well. */
async function openTwoHosts(t: Test): Promise<OpenedStore> {
  const databaseUrl = await server.createDatabase(t);
  const hosts = await Promise.all([0, 1].map(() => openStore({ dataDir: makeFolder(t), databaseUrl })));
  let turn = 0;
  const current = (): Store => hosts[turn % 2] as Store;
  const { links, apiKeys, drain } = current();
  return {
    links: {
      ...links,
      apply(units) {
        turn++;
        return current().links.apply(units);
      },
      findLink: (ref) => current().links.findLink(ref),
      async lookup(key) {
        const told = await current().links.lookup(key);
        const other = hosts[(turn + 1) % 2] as Store;
        for (const { work } of other.sharing?.work ?? []) await work(() => false);
        deepStrictEqual(await other.links.lookup(key), told);
        return told;
      },
    },
    apiKeys,
    drain,
    async close() {
      for (const { close } of hosts) await close();
    },
    openAgain: () => Promise.reject(new Error('Hosts of a fleet are told to open again one by one.')),
  };
}

if (requireCommand(t, 'initdb')) {
  server = await startPostgres(t);
  await testLinkStore(t, 'PostgreSQL', openShared);
  await testLinkList(t, 'PostgreSQL', openShared);
  await testLinkStoreModel(t, 'PostgreSQL', openShared);
  await testLinkStoreModel(t, 'Two hosts that share PostgreSQL', openTwoHosts, { runs: 15, proveRuns: 400 });
  await testRevertProperty(t, 'PostgreSQL', openShared);
  await testApiKeyStore(t, 'PostgreSQL', openShared);
}
