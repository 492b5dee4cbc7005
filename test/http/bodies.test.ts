// What a request body may be: its type, size, encoding and structure.
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { invalidFields, problem, startHttp } from '../support/http.ts';
import { connect, readAnswers, sendRaw } from '../support/raw-http.ts';

const TARGET = 'https://example.com/a';
const GOOD = JSON.stringify({ url: TARGET });
const NO_JSON = problem(
  'unsupported_media_type',
  'Expected a JSON body with "Content-Type: application/json".',
);
const TOO_LARGE = problem('too_large', 'The body is too large.');
const KB = 1024;

/** A body that is right but for its size, which is `bytes`. */
function sized(bytes: number): string {
  return `{"url":"${TARGET}"}`.padEnd(bytes, ' ');
}

t.test('a body is JSON and says so', async (t) => {
  const { ask } = await startHttp(t);
  const types = [
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=utf-8',
    'application/json ;x',
    'application/ld+json',
  ];
  for (const type of types) {
    const { status } = await ask('POST', '/shorten', { body: GOOD, headers: { 'content-type': type } });
    t.equal(status, 201, type);
  }
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'text/json',
    'x application/json',
    '',
  ]) {
    const { status, body } = await ask('POST', '/shorten', { body: GOOD, headers: { 'content-type': type } });
    t.equal(status, 415, type);
    t.strictSame(body, NO_JSON);
  }
});

t.test('a body is there', async (t) => {
  const { ask, url } = await startHttp(t);
  const empty = await ask('POST', '/shorten', { body: '' });
  t.equal(empty.status, 400);
  t.strictSame(empty.body, problem('invalid', 'The body is not valid JSON. Unexpected end of JSON input'));
  const untyped = await ask('POST', '/shorten');
  t.equal(untyped.status, 415);
  const bytes = 'POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n';
  const [missing] = await sendRaw(url, bytes, { answers: 1 });
  t.equal(missing?.status, 400);
});

t.test('a body of 64 kB is read, and none that is larger', async (t) => {
  const { ask } = await startHttp(t);
  const calls = [
    ['POST', '/shorten'],
    ['POST', '/api/v1/links'],
    ['PUT', '/api/v1/links/a'],
    ['PATCH', '/api/v1/links/a'],
  ] as const;
  for (const [method, path] of calls) {
    const fits = await ask(method, path, { body: sized(64 * KB) });
    t.ok(fits.status < 300, `${method} ${path}`);
    const large = await ask(method, path, { body: sized(64 * KB + 1) });
    t.equal(large.status, 413, `${method} ${path}`);
    t.strictSame(large.body, TOO_LARGE);
  }
});

t.test('a batch of 5 MB is read, and none that is larger', async (t) => {
  const { ask } = await startHttp(t);
  const batch = JSON.stringify({ links: [{ url: TARGET }] });
  const path = '/api/v1/links:batch';
  t.equal((await ask('POST', path, { body: batch.padEnd(5 * KB * KB, ' ') })).status, 201);
  const large = await ask('POST', path, { body: batch.padEnd(5 * KB * KB + 1, ' ') });
  t.equal(large.status, 413);
  t.strictSame(large.body, TOO_LARGE);
});

t.test('a body without a length is counted as it comes', async (t) => {
  const { url } = await startHttp(t);
  const head =
    'POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
  const chunk = `${(8 * KB).toString(16)}\r\n${' '.repeat(8 * KB)}\r\n`;
  const [good] = await sendRaw(url, `${head}${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n`, {
    answers: 1,
  });
  t.equal(good?.status, 201);
  const [large] = await sendRaw(url, `${head}${chunk.repeat(9)}0\r\n\r\n`, { answers: 1 });
  t.equal(large?.status, 413);
});

t.test('a refused body does not have to be sent to its end, and the connection stays usable', async (t) => {
  const { url } = await startHttp(t);
  const socket = await connect(url);
  const length = 200 * KB;
  socket.write(
    `POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
  );
  socket.write(`${' '.repeat(length)}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
  const answers = await readAnswers(socket, { answers: 2 });
  t.strictSame(
    answers.map(({ status }) => status),
    [413, 200],
  );
});

t.test('a compressed body is unpacked, up to the same size', async (t) => {
  const { ask } = await startHttp(t);
  const send = (body: Uint8Array, encoding: string) =>
    ask('POST', '/shorten', { body, headers: { 'content-encoding': encoding } });
  t.equal((await send(gzipSync(GOOD), 'gzip')).status, 201);
  const bomb = await send(gzipSync(sized(10 * KB * KB)), 'gzip');
  t.equal(bomb.status, 413);
  t.strictSame(bomb.body, TOO_LARGE);
  const broken = await send(Buffer.from('not gzip'), 'gzip');
  t.equal(broken.status, 400);
  t.strictSame(broken.body, problem('invalid', 'The request is malformed or ended too early.'));
  const unknown = await send(Buffer.from(GOOD), 'zstd-of-mine');
  t.equal(unknown.status, 415);
  t.strictSame(unknown.body, problem('unsupported_media_type', 'The encoding of the body is not supported.'));
});

t.test('a body that is no UTF-8 is refused', async (t) => {
  const { ask } = await startHttp(t);
  for (const bytes of [[0xff], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22]]) {
    const { status, body } = await ask('POST', '/shorten', { body: Uint8Array.from(bytes) });
    t.equal(status, 400);
    t.strictSame(body, problem('invalid', 'The body is not valid UTF-8.'));
  }
});

t.test('a body that is no JSON is refused, without echoing it', async (t) => {
  const { ask } = await startHttp(t);
  for (const text of [
    '{',
    '{"url":}',
    "{'url':1}",
    '{"url":"canary',
    'canary',
    '{"url":"x",}',
    '01',
    '{} {}',
    '\ufeff!',
    'NaN',
    '"\u0001canary"',
  ]) {
    const { status, body } = await ask('POST', '/shorten', { body: text });
    t.equal(status, 400, text);
    t.match(body, { detail: /^The body is not valid JSON\./ });
    t.notMatch((body as { detail: string }).detail, /canary/);
  }
});

t.test('a name given twice is refused with its path, also when it is written another way', async (t) => {
  const { ask } = await startHttp(t);
  const bodies = {
    '{"url":"a","url":"b"}': 'url',
    '{"url":"a","\\u0075rl":"b"}': 'url',
    '{"a":{"b":[0,{"c":1,"d":[],"c":2}]}}': 'a.b[1].c',
    '[{"a":1},{"a":1,"b":{},"a":1}]': '[1].a',
    '{"links":[{"url":"x"},{"url":"x","tags":["a","a"],"url":"y"}]}': 'links[1].url',
    '{"":1,"":2}': '',
  };
  for (const [sent, field] of Object.entries(bodies)) {
    const { status, body } = await ask('POST', '/shorten', { body: sent });
    t.equal(status, 400, sent);
    t.strictSame(body, invalidFields({ [field]: 'is given twice' }), sent);
  }
  const strings = '{"a":"{\\"b\\":1,\\"b\\":2}","c":"\\\\","d":"\\\\\\"","e":[",",":"]}';
  const { body } = await ask('POST', '/shorten', { body: strings });
  t.match(body, {
    errors: [{ field: 'url' }, { field: 'a' }, { field: 'c' }, { field: 'd' }, { field: 'e' }],
  });
});

t.test('a body is nested 16 deep at most', async (t) => {
  const { ask } = await startHttp(t);
  const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;
  t.strictSame(
    (await ask('POST', '/shorten', { body: nested(16) })).body,
    invalidFields({ body: 'expected object' }),
  );
  const deep = await ask('POST', '/shorten', { body: nested(18) });
  t.equal(deep.status, 400);
  t.strictSame(
    deep.body,
    invalidFields({ '[0].a[0].a[0].a[0].a[0].a[0].a[0].a[0].a': 'is nested more than 16 deep' }),
  );
  const batch = await ask('POST', '/api/v1/links:batch', {
    body: '['.repeat(1_000_000) + ']'.repeat(1_000_000),
  });
  t.equal(batch.status, 400);
});

t.test('a full batch has less structure than a body may have, and no body more', async (t) => {
  const { ask } = await startHttp(t);
  const tags = Array.from({ length: 20 }, (_, index) => `tag, [${index}]`);
  const links = Array.from({ length: 1000 }, (_, index) => ({
    ...{ key: `k${index}`, url: `${TARGET}?a={1,2},[:]`, title: '{},[]:', tags, status: 'enabled' },
    ...{ redirect_status: 302, expires_at: '2027-01-01T00:00:00Z' },
  }));
  const full = await ask('POST', '/api/v1/links:batch', { body: { links } });
  t.equal(full.status, 201);
  const { status, body } = await ask('POST', '/api/v1/links:batch', { body: `[${'[],'.repeat(20_000)}0]` });
  t.equal(status, 400);
  const sentence = 'The body has more than 60000 brackets, braces, commas and colons. Send it in parts.';
  t.strictSame(body, problem('invalid', sentence));
});

t.test('names that mean something to JavaScript are unknown fields like others', async (t) => {
  const { ask } = await startHttp(t);
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const { status, body } = await ask('POST', '/shorten', {
      body: `{"url":"${TARGET}","${name}":{"isAdmin":true}}`,
    });
    t.equal(status, 400, name);
    t.match(body, { error: `${name}: is not a known field` });
  }
  const inside = await ask('POST', '/shorten', { body: '{"__proto__":{"url":"https://example.com/"}}' });
  t.match(inside.body, { errors: [{ field: 'url', message: 'is required' }, { field: '__proto__' }] });
});

t.test('a client that stops in the middle of a body makes nothing', async (t) => {
  const { ask, url } = await startHttp(t);
  const socket = await connect(url);
  socket.write(
    `POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n${GOOD}`,
  );
  socket.end();
  await readAnswers(socket);
  t.strictSame((await ask('GET', '/api/v1/links')).body, { items: [], next_cursor: null });
});
