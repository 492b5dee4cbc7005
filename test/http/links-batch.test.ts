// POST /api/v1/links:batch, all or none and each for itself.
import t from 'tap';
import { invalidFields, linkBody, makeKey, makeLink, problem, startHttp } from '../support/http.ts';

const TARGET = 'https://example.com/a';
const BATCH = '/api/v1/links:batch';
const EMPTY = { items: [], next_cursor: null };

t.test('a batch makes all links, in its order', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: (size) => Buffer.alloc(size, 10) });
  const { status, body } = await ask('POST', BATCH, {
    body: { links: [{ url: TARGET, key: 'a' }, { url: TARGET }, { url: TARGET, key: 'c', tags: ['x'] }] },
  });
  t.equal(status, 201);
  t.strictSame(body, {
    items: [
      linkBody({ id: 1, seq: 1, key: 'a', url: TARGET }),
      linkBody({ id: 2, seq: 2, key: 'AAAAAAA', url: TARGET }),
      linkBody({ id: 3, seq: 3, key: 'c', url: TARGET, tags: ['x'] }),
    ],
  });
});

t.test('an atomic batch with a fault makes nothing and names every fault', async (t) => {
  const { ask } = await startHttp(t);
  for (const atomic of [{}, { atomic: true }]) {
    const { status, body } = await ask('POST', BATCH, {
      body: {
        links: [{ url: TARGET }, 'x', { url: TARGET, slug: 'y' }, { url: 'ftp://x', tags: ['a', 5] }, null],
        ...atomic,
      },
    });
    t.equal(status, 400);
    t.strictSame(
      body,
      invalidFields({
        'links[1]': 'expected object',
        'links[2].slug': 'is not a known field',
        'links[3].url': 'expected a URL that starts with http:// or https://',
        'links[3].tags[1]': 'expected string',
        'links[4]': 'expected object',
      }),
    );
  }
  t.strictSame((await ask('GET', '/api/v1/links')).body, EMPTY);
  t.strictSame((await ask('GET', '/api/v1/events')).body, EMPTY);
});

t.test('an atomic batch whose keys are taken makes nothing and names each', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'taken', url: TARGET });
  const { status, body } = await ask('POST', BATCH, {
    body: {
      links: [
        { url: TARGET, key: 'a' },
        { url: TARGET, key: 'taken' },
        { url: TARGET, key: 'a' },
      ],
    },
  });
  t.equal(status, 409);
  t.strictSame(
    body,
    problem(
      'conflict',
      '2 of the links cannot be created, so none was. First: The key "taken" is taken. Choose another, or leave it out to get one made.',
      { 'links[1].key': 'is taken', 'links[2].key': 'is taken' },
    ),
  );
  t.strictSame((await ask('GET', '/api/v1/links')).body, { items: [link], next_cursor: null });
});

t.test('an atomic batch for which no key can be made says which link it was', async (t) => {
  const { ask } = await startHttp(t, { randomBytes: (size) => Buffer.alloc(size, 10) });
  const { status, body } = await ask('POST', BATCH, { body: { links: [{ url: TARGET }, { url: TARGET }] } });
  const sentence =
    'No free key was found in 5 tries. Try again; if it happens often, set a greater KEY_LENGTH.';
  t.equal(status, 503);
  t.strictSame(
    body,
    problem('unavailable', `1 of the links cannot be created, so none was. First: ${sentence}`, {
      'links[1]': sentence,
    }),
  );
});

t.test('with "atomic": false each link has an answer of its own', async (t) => {
  const { ask } = await startHttp(t);
  const taken = 'The key "a" is taken. Choose another, or leave it out to get one made.';
  const { status, body } = await ask('POST', BATCH, {
    body: {
      atomic: false,
      links: [
        { url: 'x' },
        { url: TARGET, key: 'a' },
        { url: TARGET, key: 'a' },
        5,
        { url: TARGET, key: 'd' },
      ],
    },
  });
  t.equal(status, 207);
  const made = (key: string, seq: number, id: number) => ({
    status: 201,
    link: linkBody({ id, seq, key, url: TARGET }),
  });
  const { items } = body as { items: { link?: { id: number; seq: number } }[] };
  const last = items[4]?.link;
  t.strictSame(body, {
    items: [
      { status: 400, problem: invalidFields({ url: 'expected a URL that starts with http:// or https://' }) },
      made('a', 1, 1),
      { status: 409, problem: problem('conflict', taken, { key: 'is taken' }) },
      { status: 400, problem: invalidFields({ body: 'expected object' }) },
      made('d', last?.seq ?? 0, last?.id ?? 0),
    ],
  });
});

t.test('with "atomic": false a batch of nothing but faults is still answered one by one', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('POST', BATCH, { body: { atomic: false, links: [{}] } });
  t.equal(status, 207);
  t.strictSame(body, { items: [{ status: 400, problem: invalidFields({ url: 'is required' }) }] });
});

t.test('under hash a batch answers 200 for links that were there', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_STRATEGY: 'hash' } });
  const links = [{ url: TARGET }, { url: TARGET }, { url: 'https://example.org/' }];
  const { status, body } = await ask('POST', BATCH, { body: { atomic: false, links } });
  t.equal(status, 207);
  const { items } = body as { items: { status: number; link: unknown }[] };
  t.strictSame(
    items.map((item) => item.status),
    [201, 200, 201],
  );
  t.strictSame(items[1]?.link, items[0]?.link);
  const again = await ask('POST', BATCH, { body: { links } });
  t.equal(again.status, 201);
  t.strictSame(again.body, { items: items.map(({ link }) => link) });
});

t.test('a batch has 1 to 1,000 links', async (t) => {
  const { ask } = await startHttp(t);
  const links = Array.from({ length: 1001 }, (_, index) => ({ url: `${TARGET}${index}`, key: `k${index}` }));
  const none = await ask('POST', BATCH, { body: { links: [] } });
  t.strictSame(none.body, invalidFields({ links: 'expected at least 1 link' }));
  for (const atomic of [true, false]) {
    const many = await ask('POST', BATCH, { body: { links, atomic } });
    t.equal(many.status, 400);
    t.strictSame(many.body, invalidFields({ links: 'expected at most 1000 links' }));
  }
  const { status, body } = await ask('POST', BATCH, { body: { links: links.slice(0, 1000) } });
  t.equal(status, 201);
  t.strictSame(
    (body as { items: { key: string }[] }).items.map(({ key }) => key),
    links.slice(0, 1000).map(({ key }) => key),
  );
});

t.test('of more than 100 faults the first 100 are listed', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('POST', BATCH, { body: { links: Array<unknown>(150).fill({}) } });
  t.equal(status, 400);
  t.match(body, { detail: 'links[0].url: is required (and 99 more)' });
  const { errors } = body as { errors: unknown[] };
  t.equal(errors.length, 100);
  t.strictSame(errors.at(-1), { field: 'links[99].url', message: 'is required' });
});

t.test('a batch that is none is refused', async (t) => {
  const { ask } = await startHttp(t);
  const bodies: readonly (readonly [unknown, Record<string, string>])[] = [
    [{}, { links: 'is required' }],
    [{ links: {} }, { links: 'expected array' }],
    [{ links: [{ url: TARGET }], atomic: 'false' }, { atomic: 'expected boolean' }],
    [{ links: [{ url: TARGET }], dry_run: true }, { dry_run: 'is not a known field' }],
    [[{ url: TARGET }], { body: 'expected object' }],
  ];
  for (const [sent, faults] of bodies) {
    const { status, body } = await ask('POST', BATCH, { body: sent });
    t.equal(status, 400);
    t.strictSame(body, invalidFields(faults));
  }
  t.strictSame((await ask('GET', '/api/v1/links')).body, EMPTY);
});

t.test('a batch counts each of its links against the limit of its key', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_CREATES_PER_MINUTE: '10' } });
  const writer = await makeKey(ask, ['links:write']);
  const links = Array.from({ length: 6 }, () => ({ url: TARGET }));
  t.equal((await ask('POST', BATCH, { key: writer, body: { links } })).status, 201);
  const { status, headers, body } = await ask('POST', BATCH, { key: writer, body: { links } });
  t.equal(status, 429);
  t.equal(headers.get('retry-after'), '12');
  t.strictSame(body, problem('rate_limited', 'Too many links were created. Try again in 12 s.'));
  // Another key has a limit of its own; and a batch larger than the limit passes once, when nothing was used.
  const links20 = Array.from({ length: 20 }, () => ({ url: TARGET }));
  t.equal((await ask('POST', BATCH, { body: { links: links20 } })).status, 201);
  t.equal((await ask('POST', BATCH, { body: { links: links20 } })).status, 429);
});

t.test('hundreds of thousands of faults are told by the first hundred', async (t) => {
  const { ask } = await startHttp(t);
  const names = Array.from({ length: 8000 }, (_, n) => [`unknown-${n}`.padEnd(200, '.'), 0]);
  const link = { url: 'https://example.com/', ...Object.fromEntries(names) };
  const { status, body } = await ask('POST', '/api/v1/links:batch', { body: { links: [link] } });
  t.equal(status, 400);
  const { errors } = body as { errors: { field: string }[] };
  t.equal(errors.length, 100);
  t.equal(errors[0]?.field, `links[0].${'unknown-0'.padEnd(100, '.')}`);
});
