// API keys: making, listing, expiring and deleting them, and how a request carries one.
import t from 'tap';
import {
  type Ask,
  invalidFields,
  makeKey,
  makeLink,
  problem,
  START,
  startHttp,
  timeAfter,
} from '../support/http.ts';
import { ADMIN_KEY } from '../support/service.ts';

const KEYS = '/api/v1/api-keys';
const ENVIRONMENT_KEY = {
  id: 1,
  name: 'ADMIN_API_KEY',
  scopes: ['admin'],
  origin: 'environment',
  created_at: START,
  expires_at: null,
  last_used_at: null,
};
const NOT_VALID = problem('unauthorized', 'The API key is not valid: unknown, deleted or expired.');
const MALFORMED = problem(
  'unauthorized',
  'The Authorization header is malformed. Expected "Authorization: Bearer <key>".',
);
const NEEDED = problem('unauthorized', 'An API key is needed. Send it as "Authorization: Bearer <key>".');

t.test('a key is made with its secret, which is shown this once', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: (size) => Buffer.alloc(size, 7) });
  const { status, headers, body } = await ask('POST', KEYS, {
    body: {
      name: 'newsletter',
      scopes: ['links:read', 'links:write'],
      expires_at: '2026-03-01T00:00:00+01:00',
    },
  });
  const key = {
    id: 2,
    name: 'newsletter',
    scopes: ['links:read', 'links:write'],
    origin: 'user',
    created_at: START,
    expires_at: '2026-02-28T23:00:00.000Z',
    last_used_at: null,
  };
  const secret = `fl_${Buffer.alloc(32, 7).toString('base64url')}`;
  t.equal(status, 201);
  t.equal(headers.get('location'), '/api/v1/api-keys/2');
  t.strictSame(body, { ...key, secret });
  const list = await ask('GET', KEYS);
  t.equal(list.status, 200);
  t.strictSame(list.body, { items: [{ ...ENVIRONMENT_KEY, last_used_at: START }, key], next_cursor: null });
  t.notMatch(JSON.stringify(list.body), secret);
  t.equal((await ask('GET', '/api/v1/links', { key: secret })).status, 200);
});

t.test('a key never expires unless it says when', async (t) => {
  const { ask } = await startHttp(t);
  for (const more of [{}, { expires_at: null }]) {
    const { body } = await ask('POST', KEYS, { body: { name: 'a', scopes: ['links:read'], ...more } });
    t.match(body, { expires_at: null });
  }
});

t.test('a key that makes no sense is refused by field', async (t) => {
  const { ask } = await startHttp(t);
  const scope = 'expected one of links:read, links:write, admin';
  const good = { name: 'a', scopes: ['admin'] };
  const bodies: readonly (readonly [body: unknown, faults: Record<string, string>])[] = [
    [{}, { name: 'is required', scopes: 'is required' }],
    [{ ...good, name: '' }, { name: 'expected at least 1 character' }],
    [{ ...good, name: 'x'.repeat(101) }, { name: 'expected at most 100 characters' }],
    [{ ...good, name: 5 }, { name: 'expected string' }],
    [{ ...good, name: 'a\u0000b' }, { name: 'control characters and broken Unicode are not allowed' }],
    [{ ...good, scopes: [] }, { scopes: 'expected at least 1 scope' }],
    [{ ...good, scopes: ['admin', 'admin'] }, { scopes: 'expected each scope once' }],
    [{ ...good, scopes: ['links:read', 'root'] }, { 'scopes[1]': scope }],
    [{ ...good, scopes: 'admin' }, { scopes: 'expected array' }],
    [{ ...good, expires_at: 'never' }, { expires_at: 'expected a time such as 2026-01-31T12:00:00Z' }],
    [{ ...good, secret: 'mine' }, { secret: 'is not a known field' }],
  ];
  for (const [sent, faults] of bodies) {
    const { status, body } = await ask('POST', KEYS, { body: sent });
    t.equal(status, 400, JSON.stringify(sent));
    t.strictSame(body, invalidFields(faults));
  }
});

t.test('an expired key is refused from the moment on', async (t) => {
  const { ask, clock } = await startHttp(t);
  const secret = await makeKey(ask, ['links:read'], { expires_at: timeAfter(1000) });
  await clock.advance(999);
  t.equal((await ask('GET', '/api/v1/links', { key: secret })).status, 200);
  await clock.advance(1);
  const { status, headers, body } = await ask('GET', '/api/v1/links', { key: secret });
  t.equal(status, 401);
  t.equal(headers.get('www-authenticate'), 'Bearer realm="fleetlink"');
  t.strictSame(body, NOT_VALID);
});

t.test('a deleted key is refused from then on', async (t) => {
  const { ask } = await startHttp(t);
  const secret = await makeKey(ask, ['links:read']);
  const { status, body } = await ask('DELETE', `${KEYS}/2`);
  t.equal(status, 204);
  t.equal(body, null);
  t.strictSame((await ask('GET', '/api/v1/links', { key: secret })).body, NOT_VALID);
  for (const id of ['2', '0', '-1', '1.5', 'x', '9999999999999999']) {
    const again = await ask('DELETE', `${KEYS}/${id}`);
    t.equal(again.status, 404, id);
    t.strictSame(again.body, problem('not_found', 'There is no such API key.'));
  }
});

t.test('the last key that can administrate for ever stays', async (t) => {
  let first = '';
  const onAdminKey = (secret: string) => {
    first = secret;
  };
  const { ask } = await startHttp(t, { env: { ADMIN_API_KEY: '' }, onAdminKey });
  const askAsFirst: Ask = (method, path, options) => ask(method, path, { key: first, ...options });
  await makeKey(askAsFirst, ['admin'], { expires_at: timeAfter(1000) });
  await makeKey(askAsFirst, ['links:read', 'links:write']);
  const refused = await ask('DELETE', `${KEYS}/1`, { key: first });
  t.equal(refused.status, 409);
  t.strictSame(
    refused.body,
    problem('conflict', 'This is the last key that can administrate for ever. Create another one first.'),
  );
  const other = await makeKey(askAsFirst, ['admin']);
  t.equal((await ask('DELETE', `${KEYS}/1`, { key: other })).status, 204);
  t.equal((await ask('GET', KEYS, { key: first })).status, 401);
  t.equal((await ask('DELETE', `${KEYS}/4`, { key: other })).status, 409);
  t.equal((await ask('DELETE', `${KEYS}/2`, { key: other })).status, 204);
});

t.test('the key of ADMIN_API_KEY is removed where it is set', async (t) => {
  const { ask } = await startHttp(t);
  await makeKey(ask, ['admin']);
  const { status, body } = await ask('DELETE', `${KEYS}/1`);
  t.equal(status, 409);
  t.strictSame(
    body,
    problem('conflict', 'This key is ADMIN_API_KEY. Unset or change the variable and restart.'),
  );
  t.equal((await ask('GET', KEYS)).status, 200);
});

t.test('there are at most 1,000 keys', async (t) => {
  const { ask, context } = await startHttp(t);
  const draft = {
    name: 'a',
    scopes: ['links:read'],
    origin: 'user',
    createdAtMs: 0,
    expiresAtMs: null,
  } as const;
  await Promise.all(
    Array.from({ length: 998 }, (_, index) => context.store.apiKeys.insertKey(draft, `${index}`)),
  );
  await makeKey(ask, ['links:read']);
  const { status, body } = await ask('POST', KEYS, { body: { name: 'b', scopes: ['admin'] } });
  t.equal(status, 409);
  t.strictSame(body, problem('conflict', 'There are 1000 API keys already. Delete one that is not used.'));
  t.equal(((await ask('GET', KEYS)).body as { items: unknown[] }).items.length, 1000);
});

t.test('last used is kept to the minute', async (t) => {
  const { ask, clock } = await startHttp(t);
  const secret = await makeKey(ask, ['links:write']);
  const lastUsed = async () => {
    // Writes are committed in their order, so after this one the note of the use before it is there.
    await makeLink(ask, { url: 'https://example.com/' });
    const { body } = await ask('GET', KEYS);
    return (body as { items: { last_used_at: unknown }[] }).items[1]?.last_used_at;
  };
  const use = () => ask('POST', '/shorten', { key: secret, body: { url: 'https://example.com/' } });
  t.equal(await lastUsed(), null);
  await use();
  t.equal(await lastUsed(), START);
  await clock.advance(59_999);
  await use();
  t.equal(await lastUsed(), START);
  await clock.advance(1);
  await use();
  t.equal(await lastUsed(), timeAfter(60_000));
});

t.test('a use that cannot be noted is logged, and the request goes on', async (t) => {
  const { ask, log } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      apiKeys: { ...store.apiKeys, touchKey: () => Promise.reject(new Error('no room')) },
    }),
  });
  t.equal((await ask('GET', '/api/v1/links')).status, 200);
  const lines = log().filter(({ msg }) => msg === 'the use of an API key was not noted');
  t.match(lines, [{ level: 'warn', err: { message: 'no room' } }]);
  t.equal(lines.length, 1);
});

t.test('a key comes as a bearer token or as X-API-Key', async (t) => {
  const { ask } = await startHttp(t);
  const good = [
    { authorization: `Bearer ${ADMIN_KEY}` },
    { authorization: `bearer   ${ADMIN_KEY}  ` },
    { 'x-api-key': ADMIN_KEY },
    { authorization: `Bearer ${ADMIN_KEY}`, 'x-api-key': 'wrong' },
  ];
  for (const headers of good) {
    const { status } = await ask('GET', KEYS, { key: null, headers: headers as Record<string, string> });
    t.equal(status, 200, JSON.stringify(headers));
  }
  const bad = [
    [{}, NEEDED],
    [{ 'x-api-key': '' }, NEEDED],
    [{ 'x-api-key': 'wrong' }, NOT_VALID],
    [{ authorization: 'Bearer wrong' }, NOT_VALID],
    [{ authorization: '' }, MALFORMED],
    [{ authorization: 'Bearer' }, MALFORMED],
    [{ authorization: ADMIN_KEY }, MALFORMED],
    [{ authorization: `Basic ${ADMIN_KEY}` }, MALFORMED],
    [{ authorization: `Bearer ${ADMIN_KEY} x` }, MALFORMED],
    [{ authorization: 'Basic x', 'x-api-key': ADMIN_KEY }, MALFORMED],
  ] as const;
  for (const [headers, expected] of bad) {
    const answer = await ask('GET', KEYS, { key: null, headers: headers as Record<string, string> });
    t.equal(answer.status, 401, JSON.stringify(headers));
    t.equal(answer.headers.get('www-authenticate'), 'Bearer realm="fleetlink"');
    t.strictSame(answer.body, expected);
  }
});

t.test('ADMIN_API_KEY is replaced when it changes, and gone when it is', async (t) => {
  const first = await startHttp(t);
  const kept = await makeKey(first.ask, ['admin']);
  await first.stop();
  const { dataDir } = first;
  const second = await startHttp(t, { dataDir, env: { ADMIN_API_KEY: 'another-admin-key-0123456789' } });
  t.equal((await second.ask('GET', KEYS)).status, 401);
  t.equal((await second.ask('GET', KEYS, { key: 'another-admin-key-0123456789' })).status, 200);
  await second.stop();
  const third = await startHttp(t, { dataDir, env: { ADMIN_API_KEY: '' } });
  t.equal((await third.ask('GET', KEYS, { key: 'another-admin-key-0123456789' })).status, 401);
  const { body } = await third.ask('GET', KEYS, { key: kept });
  t.match(body, { items: [{ id: 2, origin: 'user' }] });
  t.equal((body as { items: unknown[] }).items.length, 1);
});

t.test('the first start hands over a key that may do everything, and later starts do not', async (t) => {
  const secrets: string[] = [];
  const onAdminKey = (secret: string) => secrets.push(secret);
  const { ask, context } = await startHttp(t, { env: { ADMIN_API_KEY: '' }, onAdminKey });
  await context.ensureAdminKey(onAdminKey);
  t.equal(secrets.length, 1);
  t.match(secrets[0], /^fl_[\w-]{43}$/);
  const { status, body } = await ask('GET', KEYS, { key: secrets[0] ?? null });
  t.equal(status, 200);
  t.match(body, { items: [{ name: 'first run', scopes: ['admin'], origin: 'first-run', expires_at: null }] });
});
