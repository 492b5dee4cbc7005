// Making, reading and changing single links under /api/v1/links, with ETags.
import t from 'tap';
import { AppError } from '../../app/kernel/errors.ts';
import { invalidFields, linkBody, makeLink, problem, startHttp, timeAfter } from '../support/http.ts';

const TARGET = 'https://example.com/a';
const MISMATCH =
  'The link is not at a version that If-Match names. Read it again and repeat the change with its ETag.';
const MALFORMED = invalidFields({ 'If-Match': 'expected ETags such as "3", separated by commas, or *' });

t.test('POST makes a link with what is given and defaults for the rest', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: (size) => Buffer.alloc(size, 10) });
  const { status, headers, body } = await ask('POST', '/api/v1/links', { body: { url: TARGET } });
  t.equal(status, 201);
  t.equal(headers.get('etag'), '"1"');
  t.equal(headers.get('location'), '/api/v1/links/AAAAAAA');
  t.strictSame(body, linkBody({ key: 'AAAAAAA', url: TARGET }));
});

t.test('POST takes every option of a link', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('POST', '/api/v1/links', {
    body: {
      key: 'autumn',
      url: TARGET,
      title: 'Cafe\u0301',
      tags: ['b', 'a'],
      status: 'disabled',
      redirect_status: 308,
      expires_at: '2026-02-01T01:00:00+01:00',
      max_clicks: 5,
    },
  });
  t.equal(status, 201);
  t.strictSame(
    body,
    linkBody({
      key: 'autumn',
      url: TARGET,
      title: 'Café',
      tags: ['b', 'a'],
      status: 'disabled',
      redirect_status: 308,
      expires_at: '2026-02-01T00:00:00.000Z',
      max_clicks: 5,
    }),
  );
});

t.test('POST on a key that is taken is a conflict', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, body } = await ask('POST', '/api/v1/links', { body: { key: 'autumn', url: TARGET } });
  t.equal(status, 409);
  t.strictSame(
    body,
    problem('conflict', 'The key "autumn" is taken. Choose another, or leave it out to get one made.', {
      key: 'is taken',
    }),
  );
});

const TIME = 'expected a time such as 2026-01-31T12:00:00Z';
const CLICKS = 'expected a whole number from 1 to 1000000000, or null';
const PLAIN = 'control characters and broken Unicode are not allowed';
const BAD_OPTIONS: readonly (readonly [options: Record<string, unknown>, faults: Record<string, string>])[] =
  [
    [{ url: 'ftp://example.com' }, { url: 'expected a URL that starts with http:// or https://' }],
    [{ title: 'x'.repeat(501) }, { title: 'expected at most 500 characters' }],
    [{ title: 'a\nb' }, { title: PLAIN }],
    [{ title: '\ud800' }, { title: PLAIN }],
    [{ title: 5 }, { title: 'expected string' }],
    [{ tags: 'a' }, { tags: 'expected array' }],
    [{ tags: ['a', ''] }, { 'tags[1]': 'expected at least 1 character' }],
    [{ tags: ['x'.repeat(51)] }, { 'tags[0]': 'expected at most 50 characters' }],
    [{ tags: ['a', 'a'] }, { tags: 'expected each tag once' }],
    [{ tags: ['Caf\u00e9', 'Cafe\u0301'] }, { tags: 'expected each tag once' }],
    [{ tags: Array.from({ length: 21 }, (_, index) => `${index}`) }, { tags: 'expected at most 20 tags' }],
    [{ tags: [1] }, { 'tags[0]': 'expected string' }],
    [{ status: 'deleted' }, { status: 'expected enabled or disabled' }],
    [{ redirect_status: 303 }, { redirect_status: 'expected one of 301, 302, 307, 308' }],
    [{ redirect_status: '302' }, { redirect_status: 'expected one of 301, 302, 307, 308' }],
    [{ expires_at: 'tomorrow' }, { expires_at: TIME }],
    [{ expires_at: '2026-02-30T00:00:00Z' }, { expires_at: TIME }],
    [{ expires_at: '2026-01-31T12:00:00' }, { expires_at: TIME }],
    [{ expires_at: 0 }, { expires_at: TIME }],
    [{ max_clicks: 0 }, { max_clicks: CLICKS }],
    [{ max_clicks: 1.5 }, { max_clicks: CLICKS }],
    [{ max_clicks: 1_000_000_001 }, { max_clicks: CLICKS }],
    [{ max_clicks: '5' }, { max_clicks: CLICKS }],
    [{ id: 5 }, { id: 'is not a known field' }],
    [
      { a: 1, b: 2 },
      { a: 'is not a known field', b: 'is not a known field' },
    ],
  ];

t.test('bad options are refused by name, in POST, PUT and PATCH alike', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET });
  for (const [options, faults] of BAD_OPTIONS) {
    const calls = [
      ['POST', '/api/v1/links', { url: TARGET, ...options }],
      ['PUT', '/api/v1/links/autumn', { url: TARGET, ...options }],
      ['PATCH', '/api/v1/links/autumn', options],
    ] as const;
    for (const [method, path, body] of calls) {
      const answer = await ask(method, path, { body });
      t.equal(answer.status, 400, `${method} ${JSON.stringify(options).slice(0, 60)}`);
      t.strictSame(answer.body, invalidFields(faults));
    }
  }
  t.strictSame((await ask('GET', '/api/v1/links')).body, { items: [link], next_cursor: null });
});

t.test('options at their bounds are taken', async (t) => {
  const { ask } = await startHttp(t);
  const options = {
    title: 'x'.repeat(500),
    tags: Array.from({ length: 20 }, (_, index) => `${index}`.padEnd(50, 'x')),
  };
  const link = await makeLink(ask, { key: 'a', url: TARGET, ...options });
  t.strictSame(link, linkBody({ key: 'a', url: TARGET, ...options }));
});

t.test('GET shows a link with its version as ETag, and 304 to whoever has it', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, headers, body } = await ask('GET', '/api/v1/links/autumn');
  t.equal(status, 200);
  t.equal(headers.get('etag'), '"1"');
  t.strictSame(body, linkBody({ key: 'autumn', url: TARGET }));
  for (const tag of ['"1"', 'W/"1"', '"9", "1"', '"9" , W/"1"', '*', ' * ']) {
    const known = await ask('GET', '/api/v1/links/autumn', { headers: { 'if-none-match': tag } });
    t.equal(known.status, 304, tag);
    t.equal(known.headers.get('etag'), '"1"');
    t.equal(known.body, null);
  }
  for (const tag of ['"2"', 'W/"2"', '"01"', '""']) {
    const changed = await ask('GET', '/api/v1/links/autumn', { headers: { 'if-none-match': tag } });
    t.equal(changed.status, 200, tag);
  }
  for (const tag of ['1', '"1', '"1",', 'w/"1"', '"a b"']) {
    const malformed = await ask('GET', '/api/v1/links/autumn', { headers: { 'if-none-match': tag } });
    t.equal(malformed.status, 400, tag);
    t.strictSame(
      malformed.body,
      invalidFields({ 'If-None-Match': 'expected ETags such as "3", separated by commas, or *' }),
    );
  }
});

t.test('a link is reached by its id as by its key', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET });
  t.strictSame((await ask('GET', '/api/v1/links/id:1')).body, link);
  const patched = await ask('PATCH', '/api/v1/links/id:1', { body: { title: 'x' } });
  t.strictSame(patched.body, { ...link, title: 'x', version: 2, seq: 2 });
});

t.test('links that are not there are not found', async (t) => {
  const { ask } = await startHttp(t);
  const sentences = {
    nothing: 'There is no link "nothing".',
    'id:5': 'There is no link with the id 5.',
    'id:999999999999999': 'There is no link with the id 999999999999999.',
    'id:9999999999999999': 'There is no link "id:9999999999999999".',
    'id:x': 'There is no link "id:x".',
    'a.b': 'There is no link "a.b".',
    [`${'k'.repeat(101)}`]: `There is no link "${'k'.repeat(100)}".`,
  };
  for (const [ref, sentence] of Object.entries(sentences)) {
    const calls = [
      ['GET', '', undefined],
      ['PATCH', '', { title: 'x' }],
      ['DELETE', '', undefined],
      ['DELETE', '?purge=true', undefined],
      ['GET', '/history', undefined],
      ['POST', '/revert', { version: 1 }],
    ] as const;
    for (const [method, rest, body] of calls) {
      const answer = await ask(method, `/api/v1/links/${ref}${rest}`, { body });
      t.equal(answer.status, 404, `${method} ${ref}${rest}`);
      t.strictSame(answer.body, problem('not_found', sentence));
    }
  }
});

t.test('PUT makes a link under its key and then replaces it whole', async (t) => {
  const { ask, clock } = await startHttp(t);
  const made = await ask('PUT', '/api/v1/links/autumn', { body: { url: TARGET, title: 'One', tags: ['a'] } });
  t.equal(made.status, 201);
  t.equal(made.headers.get('etag'), '"1"');
  t.equal(made.headers.get('location'), '/api/v1/links/autumn');
  t.strictSame(made.body, linkBody({ key: 'autumn', url: TARGET, title: 'One', tags: ['a'] }));
  await clock.advance(1000);
  const replaced = await ask('PUT', '/api/v1/links/autumn', { body: { url: TARGET, status: 'disabled' } });
  t.equal(replaced.status, 200);
  t.equal(replaced.headers.get('etag'), '"2"');
  t.strictSame(
    replaced.body,
    linkBody({
      key: 'autumn',
      url: TARGET,
      status: 'disabled',
      version: 2,
      seq: 2,
      updated_at: timeAfter(1000),
    }),
  );
});

t.test('PUT repeated changes nothing: same version, same times, no event', async (t) => {
  const { ask, clock } = await startHttp(t);
  const body = { url: TARGET, tags: ['a', 'b'] };
  const first = await ask('PUT', '/api/v1/links/autumn', { body });
  await clock.advance(1000);
  const second = await ask('PUT', '/api/v1/links/autumn', { body });
  t.equal(second.status, 200);
  t.strictSame(second.body, first.body);
  const { body: events } = await ask('GET', '/api/v1/events');
  t.equal((events as { items: unknown[] }).items.length, 1);
});

t.test('PUT refuses a key that no link may have, and needs a URL', async (t) => {
  const { ask } = await startHttp(t);
  const faults = {
    api: { key: '"api" is reserved; choose another key' },
    'a.b': { key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _' },
    'id:5': { key: 'expected 1 to 64 characters of A–Z a–z 0–9 - _' },
  };
  for (const [key, fault] of Object.entries(faults)) {
    const { status, body } = await ask('PUT', `/api/v1/links/${key}`, { body: { url: TARGET } });
    t.equal(status, 400);
    t.strictSame(body, invalidFields(fault));
  }
  const empty = await ask('PUT', '/api/v1/links/autumn', { body: {} });
  t.strictSame(empty.body, invalidFields({ url: 'is required' }));
  const named = await ask('PUT', '/api/v1/links/autumn', { body: { url: TARGET, key: 'autumn' } });
  t.strictSame(named.body, invalidFields({ key: 'is not a known field' }));
});

t.test('PATCH changes what it names and leaves the rest', async (t) => {
  const { ask, clock } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET, title: 'One', tags: ['a'] });
  await clock.advance(1000);
  const changed = await ask('PATCH', '/api/v1/links/autumn', {
    body: { title: null, expires_at: '2027-01-01T00:00:00Z', redirect_status: 301 },
  });
  t.equal(changed.status, 200);
  t.equal(changed.headers.get('etag'), '"2"');
  const expected = {
    ...link,
    title: null,
    expires_at: '2027-01-01T00:00:00.000Z',
    redirect_status: 301,
    version: 2,
    seq: 2,
    updated_at: timeAfter(1000),
  };
  t.strictSame(changed.body, expected);
  const same = await ask('PATCH', '/api/v1/links/autumn', { body: { redirect_status: 301 } });
  t.strictSame(same.body, expected);
  const empty = await ask('PATCH', '/api/v1/links/autumn', { body: {} });
  t.strictSame(empty.body, expected);
  const all = await ask('PATCH', '/api/v1/links/autumn', {
    body: { url: 'https://example.org/', tags: [], status: 'disabled', expires_at: null },
  });
  t.strictSame(all.body, {
    ...expected,
    url: 'https://example.org/',
    tags: [],
    status: 'disabled',
    expires_at: null,
    version: 3,
    seq: 3,
  });
});

t.test('PATCH cannot take the URL or the key away', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const url = await ask('PATCH', '/api/v1/links/autumn', { body: { url: null } });
  t.strictSame(url.body, invalidFields({ url: 'expected string' }));
  const key = await ask('PATCH', '/api/v1/links/autumn', { body: { key: 'winter' } });
  t.strictSame(key.body, invalidFields({ key: 'is not a known field' }));
});

const CHANGES = [
  ['PUT', '', { url: 'https://example.org/' }],
  ['PATCH', '', { title: 'New' }],
  ['DELETE', '', undefined],
  ['DELETE', '?purge=true', undefined],
  ['POST', '/revert', { version: 1 }],
] as const;

t.test('a change under an If-Match that does not name the version is refused', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { body: link } = await ask('PATCH', '/api/v1/links/autumn', { body: { title: 'Two' } });
  for (const [method, rest, body] of CHANGES) {
    for (const tag of ['"1"', '"1", "3"', 'W/"2"', '"02"', '"x"', '""']) {
      const answer = await ask(method, `/api/v1/links/autumn${rest}`, { body, headers: { 'if-match': tag } });
      t.equal(answer.status, 412, `${method} ${tag}`);
      t.strictSame(answer.body, problem('precondition_failed', MISMATCH));
    }
    for (const tag of ['2', '"2', '*, "2"', 'W"2"', '']) {
      const answer = await ask(method, `/api/v1/links/autumn${rest}`, { body, headers: { 'if-match': tag } });
      t.equal(answer.status, 400, `${method} ${tag}`);
      t.strictSame(answer.body, MALFORMED);
    }
  }
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, link);
});

t.test('a change under an If-Match that names the version is made', async (t) => {
  const { ask } = await startHttp(t);
  for (const [index, tag] of ['"1"', '"9", "1"', '*', ' * '].entries()) {
    for (const [method, rest, body] of CHANGES) {
      const key = `k-${index}-${method}-${rest.length}`;
      await makeLink(ask, { key, url: TARGET });
      const answer = await ask(method, `/api/v1/links/${key}${rest}`, { body, headers: { 'if-match': tag } });
      t.equal(answer.status, method === 'DELETE' ? 204 : 200, `${method}${rest} ${tag}`);
    }
  }
});

t.test('PUT under an If-Match makes nothing where there is nothing', async (t) => {
  const { ask } = await startHttp(t);
  for (const tag of ['*', '"1"']) {
    const { status, body } = await ask('PUT', '/api/v1/links/autumn', {
      body: { url: TARGET },
      headers: { 'if-match': tag },
    });
    t.equal(status, 412, tag);
    t.strictSame(body, problem('precondition_failed', MISMATCH));
  }
  t.equal((await ask('GET', '/api/v1/links/autumn')).status, 404);
});

t.test('PUT under "If-None-Match: *" makes a link where there is none, and changes none', async (t) => {
  const { ask } = await startHttp(t);
  const put = (key: string, url: string, headers = {}) =>
    ask('PUT', `/api/v1/links/${key}`, { body: { url }, headers: { 'if-none-match': '*', ...headers } });
  const made = await put('autumn', TARGET);
  t.equal(made.status, 201);
  t.equal(made.headers.get('etag'), '"1"');
  t.equal(made.headers.get('location'), '/api/v1/links/autumn');
  t.strictSame(made.body, linkBody({ key: 'autumn', url: TARGET }));
  for (const url of [TARGET, 'https://example.org/']) {
    const again = await put('autumn', url);
    t.equal(again.status, 412);
    t.match(again.body, { type: 'urn:fleetlink:error:precondition_failed', error: /"autumn".* taken/ });
  }
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, made.body);
  await ask('DELETE', '/api/v1/links/autumn');
  t.equal((await put('autumn', TARGET)).status, 412, 'the key of a deleted link is reserved');
  const answers = await Promise.all(Array.from({ length: 20 }, () => put('winter', TARGET)));
  t.strictSame(answers.map(({ status }) => status).sort(), [201, ...Array<number>(19).fill(412)]);
  const fault = invalidFields({ 'If-None-Match': 'expected * or nothing, and no If-Match beside it' });
  for (const headers of [{ 'if-none-match': '"1"' }, { 'if-none-match': 'x' }, { 'if-match': '*' }]) {
    const { status, body } = await put('spring', TARGET, headers);
    t.equal(status, 400);
    t.strictSame(body, fault);
  }
  t.equal((await ask('GET', '/api/v1/links/spring')).status, 404);
});

t.test('what else goes wrong under "If-None-Match: *" is answered as it is', async (t) => {
  const unavailable = new AppError('unavailable', 'Not now.', { retryAfterSeconds: 1 });
  const { ask } = await startHttp(t, {
    wrapStore: (store) => ({ ...store, links: { ...store.links, apply: () => Promise.reject(unavailable) } }),
  });
  const { status } = await ask('PUT', '/api/v1/links/autumn', {
    body: { url: TARGET },
    headers: { 'if-none-match': '*' },
  });
  t.equal(status, 503);
});

t.test('of many changes of one version at a time, one is made', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      ask('PATCH', '/api/v1/links/autumn', { body: { title: `${index}` }, headers: { 'if-match': '"1"' } }),
    ),
  );
  t.strictSame(answers.map(({ status }) => status).sort(), [200, ...Array<number>(19).fill(412)]);
});

t.test('of many creations of one key at a time, one is made', async (t) => {
  const { ask } = await startHttp(t);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => ask('POST', '/api/v1/links', { body: { url: TARGET, key: 'autumn' } })),
  );
  t.strictSame(answers.map(({ status }) => status).sort(), [201, ...Array<number>(19).fill(409)]);
});

t.test('the domain of links is the host of BASE_URL', async (t) => {
  const { ask } = await startHttp(t, { env: { BASE_URL: 'https://go.example:8443' } });
  const link = await makeLink(ask, { key: 'autumn', url: TARGET });
  t.strictSame(
    link,
    linkBody({
      key: 'autumn',
      url: TARGET,
      domain: 'go.example:8443',
      short_url: 'https://go.example:8443/autumn',
    }),
  );
});
