// Runs every contract suite on real SQLite files.

import type { Test } from 'tap';
import t from 'tap';
import { openStore } from '../support/store.ts';
import { testApiKeyStore } from './api-key-store.ts';
import { testDrainStore } from './drain-store.ts';
import { testLinkList } from './link-list.ts';
import { testLinkStore } from './link-store.ts';
import { testLinkStoreModel, testRevertProperty } from './link-store-model.ts';
import type { OpenedStore } from './store.ts';

async function openSqlite(t: Test): Promise<OpenedStore> {
  return open(t, t.testdir());
}

async function open(t: Test, dataDir: string): Promise<OpenedStore> {
  const store = await openStore({ dataDir });
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= store.close();
    return closing;
  };
  t.teardown(close);
  return { ...store, close, openAgain: () => open(t, dataDir) };
}

await testLinkStore(t, 'SQLite', openSqlite);
await testLinkList(t, 'SQLite', openSqlite);
await testLinkStoreModel(t, 'SQLite', openSqlite);
await testRevertProperty(t, 'SQLite', openSqlite);
await testApiKeyStore(t, 'SQLite', openSqlite);
await testDrainStore(t, 'SQLite', openSqlite);
