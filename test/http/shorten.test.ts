// POST /shorten, good and bad input.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createKeyStrategy } from '../../app/links/keys/create-key-strategy.ts';
import { DEFAULT_LINK_OPTIONS } from '../../app/links/link.ts';
import { invalidFields, linkBody, makeKey, problem, startHttp } from '../support/http.ts';

const TARGET = 'https://example.com/a';

/** Random bytes that make every generated key the same one. */
const sameBytes = (size: number): Buffer => Buffer.alloc(size, 10);

t.test('a URL is shortened without a key, to a key that is made', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: sameBytes });
  const { status, headers, body } = await ask('POST', '/shorten', { key: null, body: { url: TARGET } });
  t.equal(status, 201);
  t.strictSame(body, { key: 'AAAAAAA', short_url: 'http://sho.rt/AAAAAAA', url: TARGET });
  t.equal(headers.get('location'), 'http://sho.rt/AAAAAAA');
  t.equal(headers.get('cache-control'), 'no-store');
  t.equal(headers.get('content-type'), 'application/json');
});

t.test('a URL is shortened to a key that was asked for', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('POST', '/shorten', { body: { url: TARGET, key: 'autumn' } });
  t.equal(status, 201);
  t.strictSame(body, { key: 'autumn', short_url: 'http://sho.rt/autumn', url: TARGET });
  const link = await ask('GET', '/api/v1/links/autumn');
  t.strictSame(link.body, linkBody({ key: 'autumn', url: TARGET }));
});

t.test('a link of a stranger says so', async (t) => {
  const { ask } = await startHttp(t);
  await ask('POST', '/shorten', { key: null, body: { url: TARGET, key: 'autumn' } });
  const link = await ask('GET', '/api/v1/links/autumn');
  t.strictSame(link.body, linkBody({ key: 'autumn', url: TARGET, created_by: 'anonymous' }));
});

t.test('the target is normalised: host in ASCII and lower case, the rest escaped', async (t) => {
  const { ask } = await startHttp(t);
  const { body } = await ask('POST', '/shorten', {
    body: { url: 'HTTPS://BÜCHER.example:443/straße?q=ä#ö', key: 'a' },
  });
  t.strictSame(body, {
    key: 'a',
    short_url: 'http://sho.rt/a',
    url: 'https://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%A4#%C3%B6',
  });
});

t.test('a key that is taken is a conflict', async (t) => {
  const { ask } = await startHttp(t);
  await ask('POST', '/shorten', { body: { url: TARGET, key: 'autumn' } });
  const { status, body } = await ask('POST', '/shorten', {
    body: { url: 'https://example.com/b', key: 'autumn' },
  });
  t.equal(status, 409);
  t.strictSame(
    body,
    problem('conflict', 'The key "autumn" is taken. Choose another, or leave it out to get one made.', {
      key: 'is taken',
    }),
  );
});

t.test('keys that differ in case are different keys', async (t) => {
  const { ask } = await startHttp(t);
  await ask('POST', '/shorten', { body: { url: TARGET, key: 'autumn' } });
  const { status } = await ask('POST', '/shorten', { body: { url: TARGET, key: 'Autumn' } });
  t.equal(status, 201);
});

t.test('when five generated keys are taken, the answer is to try again', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: sameBytes });
  await ask('POST', '/shorten', { body: { url: TARGET } });
  const { status, headers, body } = await ask('POST', '/shorten', { body: { url: TARGET } });
  t.equal(status, 503);
  t.equal(headers.get('retry-after'), '1');
  t.strictSame(
    body,
    problem(
      'unavailable',
      'No free key was found in 5 tries. Try again; if it happens often, set a greater KEY_LENGTH.',
    ),
  );
});

t.test('four collisions are overcome by the fifth key', async (t) => {
  // Each generated key asks once, so a letter stands for a whole key; the first creation gets `AAAAAAA` to `EEEEEEE`.
  const letters = [...'ABCDE', ...'AAAAB'];
  const { ask } = await startHttp(t, {
    randomBytes: (size) => Buffer.alloc(size, size === 7 ? 10 + 'ABCDE'.indexOf(letters.shift() ?? 'A') : 0),
  });
  t.match((await ask('POST', '/shorten', { body: { url: TARGET } })).body, { key: 'AAAAAAA' });
  const { status, body } = await ask('POST', '/shorten', { body: { url: TARGET } });
  t.equal(status, 201);
  t.strictSame(body, { key: 'BBBBBBB', short_url: 'http://sho.rt/BBBBBBB', url: TARGET });
});

const BAD_BODIES: readonly (readonly [sentence: string, body: unknown, faults: Record<string, string>])[] = [
  ['no URL', {}, { url: 'is required' }],
  ['a URL that is no text', { url: 5 }, { url: 'expected string' }],
  ['null as URL', { url: null }, { url: 'expected string' }],
  [
    'another scheme',
    { url: 'javascript:alert(1)' },
    { url: 'expected a URL that starts with http:// or https://' },
  ],
  ['no scheme', { url: '//example.com' }, { url: 'expected a URL that starts with http:// or https://' }],
  [
    'one slash',
    { url: 'https:/example.com' },
    { url: 'expected a URL that starts with http:// or https://' },
  ],
  ['no slash', { url: 'HTTP:example.com' }, { url: 'expected a URL that starts with http:// or https://' }],
  ['three slashes', { url: 'http:///example.com' }, { url: 'the host is missing' }],
  ['a port without a host', { url: 'http://:80/' }, { url: 'the host is missing' }],
  ['an impossible port', { url: 'http://example.com:99999/' }, { url: 'the host or port is not valid' }],
  [
    'a password',
    { url: `https://${'me:secret'}@example.com` },
    { url: 'a user name or password in the URL is not allowed' },
  ],
  ['a backslash', { url: 'https://example.com\\a' }, { url: 'a backslash is not allowed; write it as %5C' }],
  [
    'a space',
    { url: 'https://example.com/a b' },
    { url: 'spaces and control characters are not allowed; write a space as %20' },
  ],
  [
    'a line break',
    { url: 'https://example.com/\r\nX: y' },
    { url: 'spaces and control characters are not allowed; write a space as %20' },
  ],
  ['half a character', { url: 'https://example.com/\ud800' }, { url: 'the text is not valid Unicode' }],
  [
    '8,193 characters',
    { url: `https://example.com/${'a'.repeat(8173)}` },
    { url: 'expected at most 8192 characters' },
  ],
  [
    '8,193 characters once escaped',
    { url: `https://example.com/${'ä'.repeat(4000)}` },
    { url: 'expected at most 8192 characters' },
  ],
  [
    'a link to the service itself',
    { url: 'http://SHO.rt./x' },
    { url: 'a link to this service itself would lead in circles' },
  ],
  ['an empty key', { url: TARGET, key: '' }, { key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _' }],
  [
    '65 characters of key',
    { url: TARGET, key: 'k'.repeat(65) },
    { key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _' },
  ],
  [
    'a key with a slash',
    { url: TARGET, key: 'a/b' },
    { key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _' },
  ],
  ['a key that is no text', { url: TARGET, key: 7 }, { key: 'expected string' }],
  ['a reserved key', { url: TARGET, key: 'api' }, { key: '"api" is reserved; choose another key' }],
  [
    'a reserved key in capitals',
    { url: TARGET, key: 'HealthZ' },
    { key: '"HealthZ" is reserved; choose another key' },
  ],
  ['an unknown field', { url: TARGET, slug: 'x' }, { slug: 'is not a known field' }],
  ['a field of other routes', { url: TARGET, title: 'x' }, { title: 'is not a known field' }],
  [
    'several faults',
    { url: 'x', key: '!' },
    {
      url: 'expected a URL that starts with http:// or https://',
      key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _',
    },
  ],
  ['an array', [], { body: 'expected object' }],
  ['null', null, { body: 'expected object' }],
  ['a text', '"x"', { body: 'expected object' }],
];

t.test('bad input is refused with the field named, and nothing is made', async (t) => {
  const { ask } = await startHttp(t);
  for (const [sentence, body, faults] of BAD_BODIES) {
    const answer = await ask('POST', '/shorten', { body });
    t.equal(answer.status, 400, sentence);
    t.strictSame(answer.body, invalidFields(faults), sentence);
  }
  t.strictSame((await ask('GET', '/api/v1/links?status=all')).body, { items: [], next_cursor: null });
});

t.test('a target of 8,192 characters and a key of 64 are taken', async (t) => {
  const { ask } = await startHttp(t);
  const url = `https://example.com/${'a'.repeat(8172)}`;
  const key = 'k'.repeat(64);
  const { status, body } = await ask('POST', '/shorten', { body: { url, key } });
  t.equal(status, 201);
  t.strictSame(body, { key, short_url: `http://sho.rt/${key}`, url });
});

t.test('a query is refused, because it would be ignored', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('POST', '/shorten?key=x', { body: { url: TARGET } });
  t.equal(status, 400);
  t.strictSame(body, invalidFields({ key: 'is not a known field' }));
});

t.test('strangers are refused where ANONYMOUS_SHORTEN is false', async (t) => {
  const { ask } = await startHttp(t, { env: { ANONYMOUS_SHORTEN: 'false' } });
  const stranger = await ask('POST', '/shorten', { key: null, body: { url: TARGET } });
  t.equal(stranger.status, 401);
  t.strictSame(
    stranger.body,
    problem('unauthorized', 'An API key is needed. Send it as "Authorization: Bearer <key>".'),
  );
  t.equal((await ask('POST', '/shorten', { body: { url: TARGET } })).status, 201);
});

t.test('a key that is sent is judged even where none is needed', async (t) => {
  const { ask } = await startHttp(t);
  const wrong = await ask('POST', '/shorten', { key: 'wrong', body: { url: TARGET } });
  t.equal(wrong.status, 401);
  const reader = await makeKey(ask, ['links:read']);
  const forbidden = await ask('POST', '/shorten', { key: reader, body: { url: TARGET } });
  t.equal(forbidden.status, 403);
  t.strictSame(forbidden.body, problem('forbidden', 'The API key does not have the scope links:write.'));
});

t.test('under counter the keys differ, are short, and are in no visible order', async (t) => {
  const { ask, dataDir, stop } = await startHttp(t, { env: { KEY_STRATEGY: 'counter', KEY_LENGTH: '4' } });
  const keys: string[] = [];
  for (let count = 0; count < 10; count++) {
    const { body } = await ask('POST', '/shorten', { body: { url: TARGET } });
    keys.push((body as { key: string }).key);
  }
  t.equal(new Set(keys).size, 10);
  t.ok(keys.every((key) => key.length === 4));
  t.notSame(keys, [...keys].sort());
  await stop();
  const restarted = await startHttp(t, { dataDir, env: { KEY_STRATEGY: 'counter', KEY_LENGTH: '4' } });
  const { status, body } = await restarted.ask('POST', '/shorten', { body: { url: TARGET } });
  t.equal(status, 201);
  t.notOk(keys.includes((body as { key: string }).key));
});

t.test('under counter nobody can stop creations by taking the keys that come next', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_STRATEGY: 'counter' } });
  const count = 20;
  const strategy = createKeyStrategy('counter', { keyLength: 7, randomBytes, takeNumbers: async () => 1 });
  const proposals = await strategy.propose(Array(count).fill({ ...DEFAULT_LINK_OPTIONS, url: TARGET }));
  const taken = proposals.flatMap((keys) => keys.slice(0, -1));
  const links = taken.map((key) => ({ key, url: 'https://example.com/taken' }));
  t.equal((await ask('POST', '/api/v1/links:batch', { body: { links } })).status, 201);
  t.equal(taken.length, 4 * count, 'all that can be worked out');

  const made: string[] = [];
  for (let i = 0; i < count; i++) {
    const { status, body } = await ask('POST', '/shorten', { body: { url: TARGET } });
    t.equal(status, 201);
    made.push((body as { key: string }).key);
  }
  t.ok(made.every((key) => key.length === 11));
  const { body } = await ask('POST', '/shorten', { body: { url: TARGET } });
  t.equal((body as { key: string }).key.length, 7, 'behind the taken ones keys are short again');
});

t.test('under hash the same target gives the same link, and 200 where it was there', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_STRATEGY: 'hash' } });
  const first = await ask('POST', '/api/v1/links', { body: { url: TARGET } });
  t.equal(first.status, 201);
  const again = await ask('POST', '/api/v1/links', { body: { url: TARGET } });
  t.equal(again.status, 200);
  t.strictSame(again.body, first.body);
  t.equal(again.headers.get('location'), first.headers.get('location'));
  const short = await ask('POST', '/shorten', { body: { url: TARGET } });
  t.equal(short.status, 201);
  t.match(short.body, { key: (first.body as { key: string }).key });
  const other = await ask('POST', '/api/v1/links', { body: { url: TARGET, title: 'Another' } });
  t.equal(other.status, 201);
  t.not((other.body as { key: string }).key, (first.body as { key: string }).key);
});

t.test('under hash a target for which all five keys are taken is answered with 503', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_STRATEGY: 'hash' } });
  for (let count = 0; count < 5; count++) {
    const { status } = await ask('POST', '/api/v1/links', { body: { url: TARGET, title: `${count}` } });
    t.equal(status, 201);
  }
  const { status, headers, body } = await ask('POST', '/api/v1/links', { body: { url: TARGET, title: '5' } });
  t.equal(status, 503);
  t.notOk(headers.has('retry-after'), 'the same keys would be tried again');
  t.match(body, { detail: /Choose a key of your own/ });
});
