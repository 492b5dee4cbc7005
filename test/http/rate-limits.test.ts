// Limits on creation and on wrong keys, and whom they count: the client behind trusted proxies.
import t from 'tap';
import { type Ask, makeKey, problem, startHttp } from '../support/http.ts';
import { ADMIN_KEY } from '../support/service.ts';

const TARGET = 'https://example.com/a';

function shorten(ask: Ask, headers: Record<string, string> = {}, key: string | null = null) {
  return ask('POST', '/shorten', { key, headers, body: { url: TARGET } });
}

t.test('a stranger may create so many links a minute, and more as the minute goes by', async (t) => {
  const { ask, clock } = await startHttp(t, { env: { ANONYMOUS_CREATES_PER_MINUTE: '3' } });
  for (let count = 0; count < 3; count++) t.equal((await shorten(ask)).status, 201);
  const refused = await shorten(ask);
  t.equal(refused.status, 429);
  t.equal(refused.headers.get('retry-after'), '20');
  t.strictSame(
    refused.body,
    problem('rate_limited', 'Too many links were created. Try again in 20 s. An API key has a higher limit.'),
  );
  await clock.advance(19_999);
  t.equal((await shorten(ask)).headers.get('retry-after'), '1');
  await clock.advance(1);
  t.equal((await shorten(ask)).status, 201);
  t.equal((await shorten(ask)).status, 429);
  await clock.advance(600_000);
  for (let count = 0; count < 3; count++) t.equal((await shorten(ask)).status, 201);
  t.equal((await shorten(ask)).status, 429, 'what was not used does not pile up');
});

t.test('a refused stranger may still follow links, and use a key', async (t) => {
  const { ask } = await startHttp(t, { env: { ANONYMOUS_CREATES_PER_MINUTE: '1' } });
  const { body } = await shorten(ask);
  t.equal((await shorten(ask)).status, 429);
  t.equal((await ask('GET', `/${(body as { key: string }).key}`, { key: null })).status, 302);
  t.equal((await shorten(ask, {}, ADMIN_KEY)).status, 201);
});

t.test('each key has a limit of its own, for all ways to create', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_CREATES_PER_MINUTE: '3' } });
  const writer = await makeKey(ask, ['links:write']);
  const body = { url: TARGET };
  t.equal((await shorten(ask, {}, writer)).status, 201);
  t.equal((await ask('POST', '/api/v1/links', { key: writer, body })).status, 201);
  t.equal((await ask('PUT', '/api/v1/links/a', { key: writer, body })).status, 201);
  const refused = await ask('POST', '/api/v1/links', { key: writer, body });
  t.equal(refused.status, 429);
  t.strictSame(refused.body, problem('rate_limited', 'Too many links were created. Try again in 20 s.'));
  t.equal((await ask('PUT', '/api/v1/links/b', { key: writer, body })).status, 429);
  t.equal((await shorten(ask, {}, writer)).status, 429);
  t.equal((await ask('PATCH', '/api/v1/links/a', { key: writer, body: { title: 'x' } })).status, 200);
  t.equal((await shorten(ask, {}, ADMIN_KEY)).status, 201);
});

t.test('a limit of 0 is none', async (t) => {
  const { ask } = await startHttp(t, {
    env: { ANONYMOUS_CREATES_PER_MINUTE: '0', KEY_CREATES_PER_MINUTE: '0', AUTH_FAILURES_PER_MINUTE: '0' },
  });
  for (let count = 0; count < 70; count++) {
    t.equal((await shorten(ask)).status, 201);
    t.equal((await ask('GET', '/api/v1/links', { key: 'wrong' })).status, 401);
  }
});

t.test('after too many wrong keys a client waits before the next wrong one; right ones pass', async (t) => {
  const { ask, clock } = await startHttp(t, { env: { AUTH_FAILURES_PER_MINUTE: '2' } });
  const list = (key: string | null) => ask('GET', '/api/v1/links', { key });
  t.equal((await list('wrong')).status, 401);
  t.equal((await list(ADMIN_KEY)).status, 200);
  t.equal((await list('wrong')).status, 401);
  const refused = await list('wrong');
  t.equal(refused.status, 429);
  t.equal(refused.headers.get('retry-after'), '30');
  t.strictSame(
    refused.body,
    problem('rate_limited', 'Too many wrong API keys came from this address. Try again in 30 s.'),
  );
  t.equal((await list(ADMIN_KEY)).status, 200, 'who shares the address is not locked out');
  t.equal((await list(null)).status, 401, 'no key is no wrong key');
  t.equal((await shorten(ask)).status, 201);
  await clock.advance(30_000);
  t.equal((await list('wrong')).status, 401);
  t.equal((await list('wrong')).status, 429);
});

/** Whether requests with these X-Forwarded-For headers are counted as one client. */
async function isOneClient(ask: Ask, a: string, b: string): Promise<boolean> {
  const first = await shorten(ask, { 'x-forwarded-for': a });
  if (first.status !== 201) throw new Error(`${a} was counted before: choose another address.`);
  return (await shorten(ask, { 'x-forwarded-for': b })).status === 429;
}

t.test('X-Forwarded-For counts for nothing unless a proxy is trusted', async (t) => {
  const { ask } = await startHttp(t, { env: { ANONYMOUS_CREATES_PER_MINUTE: '1' } });
  t.equal(await isOneClient(ask, '203.0.113.1', '203.0.113.2'), true);
});

t.test('behind trusted proxies the right-most address that is none of them counts', async (t) => {
  const { ask } = await startHttp(t, {
    env: { ANONYMOUS_CREATES_PER_MINUTE: '1', TRUST_PROXY: '127.0.0.1, 10.0.0.0/8, ::1' },
  });
  t.equal(await isOneClient(ask, '203.0.113.1', '203.0.113.2'), false, 'two clients');
  t.equal(await isOneClient(ask, '203.0.113.3', '203.0.113.3'), true, 'one client');
  t.equal(
    await isOneClient(ask, '203.0.113.4', '203.0.113.4, 10.1.2.3'),
    true,
    'one client through two proxies',
  );
  t.equal(
    await isOneClient(ask, '1.1.1.1, 203.0.113.5', '2.2.2.2, 203.0.113.5'),
    true,
    'the left-most is a claim',
  );
  t.equal(
    await isOneClient(ask, '203.0.113.6, 198.51.100.1', '203.0.113.6'),
    false,
    'an untrusted proxy is the client',
  );
});

t.test('what is no address is not believed: the connection counts', async (t) => {
  const { ask } = await startHttp(t, {
    env: { ANONYMOUS_CREATES_PER_MINUTE: '1', TRUST_PROXY: '127.0.0.1' },
  });
  t.equal(await isOneClient(ask, 'unknown', 'nonsense'), true);
});

t.test('an IPv6 client is its network, and an IPv4 address in IPv6 is itself', async (t) => {
  const { ask } = await startHttp(t, {
    env: { ANONYMOUS_CREATES_PER_MINUTE: '1', TRUST_PROXY: '127.0.0.1' },
  });
  t.equal(await isOneClient(ask, '2001:db8:1:2::1', '2001:DB8:1:2:ffff:ffff:ffff:ffff'), true, 'one /64');
  t.equal(await isOneClient(ask, '2001:db8:1:3::1', '2001:db8:1:4::1'), false, 'two /64');
  t.equal(await isOneClient(ask, '2001:db8:5::', '2001:db8:5:0:1:2:3:4'), true, 'zeros may be left out');
  t.equal(await isOneClient(ask, '::1:2:3:4', '::5:6:7:8'), true, 'also in front');
  t.equal(await isOneClient(ask, '::ffff:203.0.113.7', '203.0.113.7'), true, 'mapped');
});
