import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { type AdminKeyDeps, ensureAdminKey } from '../../app/auth/admin-key.ts';
import {
  ANONYMOUS,
  type ApiKey,
  type ApiKeyStore,
  createSecret,
  hashSecret,
  hasScope,
  isSameHash,
} from '../../app/auth/api-key.ts';
import { apiKeyBody, apiKeyView, toApiKeyView } from '../../app/auth/api-key-schema.ts';
import { createAuthenticator } from '../../app/auth/authenticator.ts';
import { createRateLimit } from '../../app/guard/rate-limit.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openStore } from '../support/store.ts';

const CLIENT = '203.0.113.1';
const SECRET = 'fl_secret';

async function open(t: Test) {
  const clock = createFakeClock();
  const store = await openStore({ dataDir: t.testdir(), clock });
  t.teardown(() => store.close());
  return { clock, store: store.apiKeys };
}

function userKey(changes: Partial<Omit<ApiKey, 'id' | 'lastUsedAtMs'>> = {}) {
  const key = {
    name: 'k',
    scopes: ['links:read'],
    origin: 'user',
    createdAtMs: 0,
    expiresAtMs: null,
  } as const;
  return { ...key, ...changes };
}

async function openAuthenticator(t: Test, wrap: (store: ApiKeyStore) => ApiKeyStore = (store) => store) {
  const { clock, store } = await open(t);
  const touchFailures: unknown[] = [];
  const authenticate = createAuthenticator({
    store: wrap(store),
    clock,
    failures: createRateLimit({ clock }, { allowed: 2, perMs: 60_000 }),
    onTouchFailed: (error) => touchFailures.push(error),
  });
  return { clock, store, authenticate, touchFailures };
}

t.test('a secret is 256 random bits behind a prefix, and kept as its SHA-256', async (t) => {
  t.equal(
    createSecret((size) => Buffer.alloc(size, 0xff)),
    `fl_${'_'.repeat(42)}8`,
  );
  t.equal(hashSecret('abc'), createHash('sha256').update('abc').digest('hex'));
  t.ok(isSameHash(hashSecret('abc'), hashSecret('abc')));
  t.notOk(isSameHash(hashSecret('abc'), hashSecret('abd')));
  t.notOk(isSameHash(hashSecret('abc'), ''));
});

t.test('admin includes every scope, anonymous has none', async (t) => {
  const principal = (...scopes: ('links:read' | 'links:write' | 'admin')[]) => ({
    id: 'x',
    scopes: new Set(scopes),
  });
  t.ok(hasScope(principal('links:read'), 'links:read'));
  t.notOk(hasScope(principal('links:read', 'links:write'), 'admin'));
  t.ok(hasScope(principal('admin'), 'links:write'));
  t.notOk(hasScope(ANONYMOUS, 'links:read'));
});

t.test('without a secret the client is anonymous, with a right one it is its key', async (t) => {
  const { authenticate, store } = await openAuthenticator(t);
  const key = await store.insertKey(userKey({ scopes: ['links:read', 'links:write'] }), hashSecret(SECRET));
  t.equal(await authenticate(null, CLIENT), ANONYMOUS);
  t.same(await authenticate(SECRET, CLIENT), {
    id: `api-key:${key?.id}`,
    scopes: new Set(['links:read', 'links:write']),
  });
});

t.test('wrong, deleted and expired keys are refused alike', async (t) => {
  const { authenticate, store, clock } = await openAuthenticator(t);
  const refusal = { code: 'unauthorized', message: 'The API key is not valid: unknown, deleted or expired.' };
  const expiresAtMs = clock.nowMs() + 1000;
  await store.insertKey(userKey({ expiresAtMs }), hashSecret(SECRET));
  await t.rejects(authenticate('wrong', CLIENT), refusal);
  await clock.advance(999);
  await t.resolves(authenticate(SECRET, CLIENT));
  await clock.advance(1);
  await t.rejects(authenticate(SECRET, CLIENT), refusal);
});

t.test('a store that answers with another key is not believed', async (t) => {
  const { authenticate, store } = await openAuthenticator(t, (store) => ({
    ...store,
    findKeyByHash: () => store.findKeyByHash(hashSecret(SECRET)),
  }));
  await store.insertKey(userKey(), hashSecret(SECRET));
  await t.rejects(authenticate('other', CLIENT), { code: 'unauthorized' });
});

t.test('after too many wrong keys a client waits before the next; right ones pass', async (t) => {
  const { authenticate, store, clock } = await openAuthenticator(t);
  await store.insertKey(userKey(), hashSecret(SECRET));
  await t.rejects(authenticate('wrong', CLIENT), { code: 'unauthorized' });
  await t.rejects(authenticate('wrong', CLIENT), { code: 'unauthorized' });
  await t.rejects(authenticate('wrong', CLIENT), {
    code: 'rate_limited',
    message: 'Too many wrong API keys came from this address. Try again in 30 s.',
    retryAfterSeconds: 30,
  });
  t.equal(await authenticate(null, CLIENT), ANONYMOUS);
  await t.resolves(authenticate(SECRET, CLIENT));
  await t.rejects(authenticate('wrong', '203.0.113.2'), { code: 'unauthorized' });
  await clock.advance(30_000);
  await t.rejects(authenticate('wrong', CLIENT), { code: 'unauthorized' });
});

t.test('the last use is kept to the minute', async (t) => {
  const touched: number[] = [];
  const { authenticate, store, clock } = await openAuthenticator(t, (store) => ({
    ...store,
    touchKey: async (id, usedAtMs) => {
      touched.push(usedAtMs);
      await store.touchKey(id, usedAtMs);
    },
  }));
  const startMs = clock.nowMs();
  await store.insertKey(userKey(), hashSecret(SECRET));
  const use = async () => {
    await authenticate(SECRET, CLIENT);
    // The use is noted behind the answer: the next write of the store is behind it.
    await store.deleteKey(0);
  };
  await use();
  await clock.advance(59_999);
  await use();
  await clock.advance(1);
  await use();
  t.same(touched, [startMs, startMs + 60_000]);
  t.equal((await store.listKeys())[0]?.lastUsedAtMs, startMs + 60_000);
});

t.test('a use that cannot be noted does not fail the request', async (t) => {
  const failure = new Error('disk full');
  const { authenticate, store, touchFailures } = await openAuthenticator(t, (store) => ({
    ...store,
    touchKey: () => Promise.reject(failure),
  }));
  const key = await store.insertKey(userKey(), hashSecret(SECRET));
  t.equal((await authenticate(SECRET, CLIENT)).id, `api-key:${key?.id}`);
  await Promise.resolve();
  t.same(touchFailures, [failure]);
});

t.test('ADMIN_API_KEY is what the variable says', async (t) => {
  const { store, clock } = await open(t);
  const deps: AdminKeyDeps = { store, clock, randomBytes: Buffer.alloc };
  const nobody = () => t.fail('no key is made beside it');
  await ensureAdminKey(deps, { given: 'a secret of the environment', handOver: nobody });
  t.same(await store.listKeys(), [
    {
      id: 1,
      name: 'ADMIN_API_KEY',
      scopes: ['admin'],
      origin: 'environment',
      createdAtMs: clock.nowMs(),
      expiresAtMs: null,
      lastUsedAtMs: null,
    },
  ]);
  t.ok(await store.findKeyByHash(hashSecret('a secret of the environment')));
  await ensureAdminKey(deps, { given: null, handOver: () => undefined });
  t.match(await store.listKeys(), [{ id: 2, origin: 'first-run' }]);
});

t.test('the first start makes an admin key, once, and hands it over before it is stored', async (t) => {
  const { store, clock } = await open(t);
  const deps: AdminKeyDeps = { store, clock, randomBytes: (size) => Buffer.alloc(size, 1) };
  await store.insertKey(userKey({ scopes: ['admin'], expiresAtMs: clock.nowMs() + 1 }), 'brief');
  await store.insertKey(userKey(), 'reader');
  const handed: string[] = [];
  await t.rejects(
    ensureAdminKey(deps, {
      given: null,
      handOver: () => {
        throw new Error('no disk');
      },
    }),
    { message: 'no disk' },
  );
  t.equal((await store.listKeys()).length, 2);
  const options = { given: null, handOver: (secret: string) => void handed.push(secret) };
  await ensureAdminKey(deps, options);
  await ensureAdminKey(deps, options);
  t.same(handed, [createSecret(deps.randomBytes)]);
  t.same((await store.findKeyByHash(hashSecret(handed[0] ?? '')))?.key, {
    id: 3,
    name: 'first run',
    scopes: ['admin'],
    origin: 'first-run',
    createdAtMs: clock.nowMs(),
    expiresAtMs: null,
    lastUsedAtMs: null,
  });
});

t.test('what may be said of a new key', async (t) => {
  const good = { name: 'news', scopes: ['links:read'] };
  t.same(apiKeyBody.parse(good), good);
  t.same(apiKeyBody.parse({ ...good, expires_at: '2026-01-31T12:00:00+01:00' }), {
    ...good,
    expires_at: Date.UTC(2026, 0, 31, 11),
  });
  t.same(apiKeyBody.parse({ ...good, expires_at: null }), { ...good, expires_at: null });
  const faults: readonly (readonly [body: object, path: string, message: string])[] = [
    [{ ...good, name: '' }, 'name', 'expected at least 1 character'],
    [{ ...good, name: 'n'.repeat(101) }, 'name', 'expected at most 100 characters'],
    [{ ...good, scopes: [] }, 'scopes', 'expected at least 1 scope'],
    [{ ...good, scopes: ['admin', 'admin'] }, 'scopes', 'expected each scope once'],
    [{ ...good, scopes: ['root'] }, 'scopes.0', 'expected one of links:read, links:write, admin'],
    [{ ...good, expires_at: 'tomorrow' }, 'expires_at', 'expected a time such as 2026-01-31T12:00:00Z'],
    [{ ...good, expires_at: '9999-12-31T23:59:59-23:59' }, 'expires_at', 'expected a year from 0000 to 9999'],
    [{ ...good, more: 1 }, '', 'Unrecognized key: "more"'],
  ];
  for (const [body, path, message] of faults) {
    const issues = apiKeyBody.safeParse(body).error?.issues ?? [];
    t.same(
      issues.map((issue) => [issue.path.join('.'), issue.message]),
      [[path, message]],
    );
  }
});

t.test('a key is shown without its secret', async (t) => {
  const key = { ...userKey({ createdAtMs: 1000 }), id: 4, lastUsedAtMs: null };
  const shown = {
    id: 4,
    name: 'k',
    scopes: ['links:read'],
    origin: 'user',
    created_at: '1970-01-01T00:00:01.000Z',
    expires_at: null,
    last_used_at: null,
  };
  t.same(toApiKeyView(key), shown);
  t.same(toApiKeyView({ ...key, expiresAtMs: 2000, lastUsedAtMs: 60_000 }), {
    ...shown,
    expires_at: '1970-01-01T00:00:02.000Z',
    last_used_at: '1970-01-01T00:01:00.000Z',
  });
  t.same(apiKeyView.parse(shown), shown);
});
