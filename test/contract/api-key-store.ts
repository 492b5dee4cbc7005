/** The contract of ApiKeyStore. */

import type { Test } from 'tap';
import {
  API_KEYS_MAX,
  type ApiKey,
  type ApiKeyOrigin,
  type ApiKeyStore,
  type NewApiKey,
  type Scope,
} from '../../app/auth/api-key.ts';
import { DAY_MS, type OpenedStore, type OpenStore, T0 } from './store.ts';

interface Draft {
  readonly name?: string;
  readonly scopes?: readonly Scope[];
  readonly origin?: ApiKeyOrigin;
  readonly expiresAtMs?: number | null;
}

function tryInsert(keys: ApiKeyStore, hash: string, draft: Draft = {}): Promise<ApiKey | null> {
  const { name = hash, scopes = ['links:read'], origin = 'user', expiresAtMs = null } = draft;
  return keys.insertKey({ name, scopes, origin, createdAtMs: T0, expiresAtMs }, hash);
}

async function insert(keys: ApiKeyStore, hash: string, draft: Draft = {}): Promise<ApiKey> {
  const key = await tryInsert(keys, hash, draft);
  if (key === null) throw new Error('There is no room for the key.');
  return key;
}

const firstAdmin: NewApiKey = {
  name: 'first run',
  scopes: ['admin'],
  origin: 'first-run',
  createdAtMs: T0,
  expiresAtMs: null,
};

export function testApiKeyStore(t: Test, name: string, openStore: OpenStore): Promise<unknown> {
  return t.test(`${name}: API keys`, async (t) => {
    await t.test('a key is found by its hash as it was inserted', async (t) => {
      const { apiKeys } = await openStore(t);
      const key = await insert(apiKeys, 'h1', {
        name: 'Ünï "quoted"',
        scopes: ['links:read', 'links:write'],
        expiresAtMs: T0 + DAY_MS,
      });
      t.same(key, {
        id: key.id,
        name: 'Ünï "quoted"',
        scopes: ['links:read', 'links:write'],
        origin: 'user',
        createdAtMs: T0,
        expiresAtMs: T0 + DAY_MS,
        lastUsedAtMs: null,
      });
      t.same(await apiKeys.findKeyByHash('h1'), { key, hash: 'h1' });
      t.equal(await apiKeys.findKeyByHash('H1'), null);
      t.equal(await apiKeys.findKeyByHash(''), null);
    });

    await t.test('keys are listed in the order they were made', async (t) => {
      const { apiKeys } = await openStore(t);
      t.same(await apiKeys.listKeys(), []);
      const keys = [await insert(apiKeys, 'z'), await insert(apiKeys, 'a'), await insert(apiKeys, 'm')];
      t.same(await apiKeys.listKeys(), keys);
    });

    await t.test('two keys cannot have one secret', async (t) => {
      const { apiKeys } = await openStore(t);
      const key = await insert(apiKeys, 'same');
      await t.rejects(insert(apiKeys, 'same'));
      t.same(await apiKeys.listKeys(), [key]);
    });

    await t.test('a secret that exists fails no other write of the same moment', async (t) => {
      const { apiKeys } = await openStore(t);
      const key = await insert(apiKeys, 'same');
      const results = await Promise.allSettled(['a', 'same', 'b'].map((hash) => insert(apiKeys, hash)));
      t.same(
        results.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      );
      t.same(
        (await apiKeys.listKeys()).map(({ name }) => name),
        [key.name, 'a', 'b'],
      );
    });

    await t.test('of many keys made at once no more than there is room for are made', async (t) => {
      const { apiKeys } = await openStore(t);
      const expired = await insert(apiKeys, 'expired', { expiresAtMs: T0 });
      await insert(apiKeys, 'brief', { expiresAtMs: T0 + 1 });
      await apiKeys.replaceEnvironmentKey({ hash: 'environment', createdAtMs: T0 });
      const hashes = Array.from({ length: API_KEYS_MAX }, (_, n) => `${n}`);
      const keys = await Promise.all(hashes.map((hash) => tryInsert(apiKeys, hash)));
      t.equal(keys.filter((key) => key !== null).length, API_KEYS_MAX - 2, 'an expired key takes no room');
      t.same(keys.slice(-2), [null, null]);
      t.equal((await apiKeys.listKeys()).length, API_KEYS_MAX + 1);

      t.equal(await apiKeys.deleteKey(expired.id), 'deleted');
      t.equal(await tryInsert(apiKeys, 'still full'), null);
      t.ok(await tryInsert(apiKeys, 'first run', { origin: 'first-run' }), 'nobody is locked out');
      t.equal(await apiKeys.deleteKey(keys[0]?.id ?? -1), 'deleted');
      t.equal(await apiKeys.deleteKey(keys[1]?.id ?? -1), 'deleted');
      t.ok(await tryInsert(apiKeys, 'room again'));
    });

    await t.test(
      'the first admin key is handed over and inserted where none can administrate for ever',
      async (t) => {
        const { apiKeys } = await openStore(t);
        await insert(apiKeys, 'reader');
        await insert(apiKeys, 'brief', { scopes: ['admin'], expiresAtMs: T0 + DAY_MS });
        const key = await apiKeys.insertFirstAdminKey(firstAdmin, () => 'first');
        t.same(key, { ...firstAdmin, id: key?.id, lastUsedAtMs: null });
        t.same(await apiKeys.findKeyByHash('first'), { key, hash: 'first' });
        const unwanted = () => {
          throw new Error('What is not inserted is not handed over.');
        };
        t.equal(await apiKeys.insertFirstAdminKey(firstAdmin, unwanted), null);
      },
    );

    await t.test(
      'a first admin key that cannot be handed over is not inserted, and fails nobody else',
      async (t) => {
        const { apiKeys } = await openStore(t);
        const failure = new Error('no disk');
        const failing = () => {
          throw failure;
        };
        const [refused, other] = await Promise.allSettled([
          apiKeys.insertFirstAdminKey(firstAdmin, failing),
          insert(apiKeys, 'other'),
        ]);
        t.same(refused, { status: 'rejected', reason: failure });
        t.equal(other.status, 'fulfilled');
        t.same(
          (await apiKeys.listKeys()).map(({ name }) => name),
          ['other'],
        );
        t.ok(await apiKeys.insertFirstAdminKey(firstAdmin, () => 'kept'));
      },
    );

    await t.test(
      'of many starts at once, also in two processes, one hands over the first admin key',
      async (t) => {
        const one = await openStore(t);
        const stores = [one, await one.openAgain()];
        const handed: string[] = [];
        const insertFirst = ({ apiKeys }: OpenedStore, hash: string) =>
          apiKeys.insertFirstAdminKey(firstAdmin, () => {
            handed.push(hash);
            return hash;
          });
        await Promise.all(
          stores.flatMap((store, n) => [0, 1, 2].map((start) => insertFirst(store, `${n}-${start}`))),
        );
        t.equal(handed.length, 1);
        t.equal((await one.apiKeys.listKeys()).length, 1);
        t.ok(await one.apiKeys.findKeyByHash(handed[0] ?? ''), 'and it is the one that works');
      },
    );

    await t.test('the key of the environment is not deleted, also when it is not the last', async (t) => {
      const { apiKeys } = await openStore(t);
      await apiKeys.replaceEnvironmentKey({ hash: 'environment', createdAtMs: T0 });
      const [environment] = await apiKeys.listKeys();
      const id = environment?.id ?? -1;
      t.equal(await apiKeys.deleteKey(id), 'environment');
      await insert(apiKeys, 'other', { scopes: ['admin'] });
      t.equal(await apiKeys.deleteKey(id), 'environment');
      t.same((await apiKeys.listKeys())[0], environment);
    });

    await t.test('the last use is noted, also of a key that is gone by then', async (t) => {
      const { apiKeys } = await openStore(t);
      const key = await insert(apiKeys, 'used');
      await apiKeys.touchKey(key.id, T0 + 60_000);
      t.same(await apiKeys.listKeys(), [{ ...key, lastUsedAtMs: T0 + 60_000 }]);
      await t.resolves(apiKeys.touchKey(987_654, T0));
    });

    await t.test('a deleted key is gone, and its id is not given out again', async (t) => {
      const { apiKeys } = await openStore(t);
      const key = await insert(apiKeys, 'gone');
      t.equal(await apiKeys.deleteKey(key.id), 'deleted');
      t.equal(await apiKeys.deleteKey(key.id), 'not_found');
      t.equal(await apiKeys.findKeyByHash('gone'), null);
      t.ok((await insert(apiKeys, 'next')).id > key.id);
    });

    await t.test('the last key that can administrate for ever stays', async (t) => {
      const { apiKeys } = await openStore(t);
      const first = await insert(apiKeys, 'admin-1', { scopes: ['admin'] });
      await insert(apiKeys, 'writer', { scopes: ['links:write'] });
      const brief = await insert(apiKeys, 'brief', { scopes: ['admin'], expiresAtMs: T0 + DAY_MS });
      t.equal(await apiKeys.deleteKey(first.id), 'last_admin');
      const second = await insert(apiKeys, 'admin-2', { scopes: ['links:read', 'admin'] });
      t.equal(await apiKeys.deleteKey(first.id), 'deleted');
      t.equal(await apiKeys.deleteKey(brief.id), 'deleted');
      t.equal(await apiKeys.deleteKey(second.id), 'last_admin');
      t.same(
        (await apiKeys.listKeys()).map(({ name }) => name),
        ['writer', 'admin-2'],
      );
    });

    await t.test('of two last administrators that are deleted at once one stays', async (t) => {
      const { apiKeys } = await openStore(t);
      const a = await insert(apiKeys, 'a', { scopes: ['admin'] });
      const b = await insert(apiKeys, 'b', { scopes: ['admin'] });
      const answers = await Promise.all([apiKeys.deleteKey(a.id), apiKeys.deleteKey(b.id)]);
      t.same(answers, ['deleted', 'last_admin']);
    });

    await t.test('the key of the environment is replaced, kept and removed', async (t) => {
      const { apiKeys } = await openStore(t);
      const user = await insert(apiKeys, 'user', { scopes: ['admin'] });
      const environmentKeys = async () =>
        (await apiKeys.listKeys()).filter(({ origin }) => origin === 'environment');

      await apiKeys.replaceEnvironmentKey(null);
      t.same(await environmentKeys(), []);

      await apiKeys.replaceEnvironmentKey({ hash: 'one', createdAtMs: T0 });
      const [one] = await environmentKeys();
      t.same(await environmentKeys(), [
        {
          id: one?.id,
          name: 'ADMIN_API_KEY',
          scopes: ['admin'],
          origin: 'environment',
          createdAtMs: T0,
          expiresAtMs: null,
          lastUsedAtMs: null,
        },
      ]);

      await apiKeys.replaceEnvironmentKey({ hash: 'one', createdAtMs: T0 + 1 });
      t.same(await environmentKeys(), [one], 'the same secret keeps the key');

      await apiKeys.replaceEnvironmentKey({ hash: 'two', createdAtMs: T0 + 2 });
      t.equal(await apiKeys.findKeyByHash('one'), null);
      t.equal((await apiKeys.findKeyByHash('two'))?.key.createdAtMs, T0 + 2);

      await apiKeys.replaceEnvironmentKey(null);
      t.same(await apiKeys.listKeys(), [user]);
    });

    await t.test('a secret of another origin becomes the key of the environment', async (t) => {
      const { apiKeys } = await openStore(t);
      await insert(apiKeys, 'shared', { scopes: ['links:read'] });
      await apiKeys.replaceEnvironmentKey({ hash: 'shared', createdAtMs: T0 });
      t.same(
        (await apiKeys.listKeys()).map(({ origin, scopes }) => [origin, scopes]),
        [['environment', ['admin']]],
      );
    });

    await t.test('keys are there after closing and opening', async (t) => {
      const store = await openStore(t);
      const key = await insert(store.apiKeys, 'kept');
      await store.close();
      const again = await store.openAgain();
      t.same(await again.apiKeys.findKeyByHash('kept'), { key, hash: 'kept' });
    });

    await t.test('a store that is closed refuses reads and writes', async (t) => {
      const store = await openStore(t);
      await store.close();
      await t.rejects(store.apiKeys.listKeys());
      await t.rejects(store.apiKeys.findKeyByHash('x'));
      await t.rejects(insert(store.apiKeys, 'x'), { code: 'unavailable' });
    });
  });
}
