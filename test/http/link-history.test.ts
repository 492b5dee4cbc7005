// The history of a link, undoing, and the events of all links.
import t from 'tap';
import {
  invalidFields,
  makeKey,
  makeLink,
  optionsBody,
  problem,
  START,
  startHttp,
  timeAfter,
} from '../support/http.ts';

const TARGET = 'https://example.com/a';
const OTHER = 'https://example.org/';

interface Page {
  readonly items: readonly Record<string, unknown>[];
  readonly next_cursor: string | null;
}

t.test('the history says who changed what and when, newest first', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const writer = await makeKey(ask, ['links:write']);
  await clock.advance(1000);
  await ask('PATCH', '/api/v1/links/autumn', { key: writer, body: { url: OTHER, tags: ['x'] } });
  await clock.advance(1000);
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(1000);
  await ask('POST', '/api/v1/links/autumn/revert', { key: writer, body: { version: 1 } });
  const one = optionsBody({ url: TARGET });
  const two = optionsBody({ url: OTHER, tags: ['x'] });
  const three = { ...two, status: 'deleted' };
  const { status, body } = await ask('GET', '/api/v1/links/autumn/history');
  t.equal(status, 200);
  t.strictSame(body, {
    items: [
      {
        version: 4,
        seq: 4,
        type: 'reverted',
        by: 'api-key:2',
        at: timeAfter(3000),
        before: three,
        after: one,
      },
      {
        version: 3,
        seq: 3,
        type: 'deleted',
        by: 'api-key:1',
        at: timeAfter(2000),
        before: two,
        after: three,
      },
      { version: 2, seq: 2, type: 'updated', by: 'api-key:2', at: timeAfter(1000), before: one, after: two },
      { version: 1, seq: 1, type: 'created', by: 'api-key:1', at: START, before: null, after: one },
    ],
    next_cursor: null,
  });
});

t.test('the history comes in pages that belong to their link', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await makeLink(ask, { key: 'winter', url: TARGET });
  for (let count = 0; count < 4; count++) {
    await ask('PATCH', '/api/v1/links/autumn', { body: { title: `${count}` } });
  }
  const versions: unknown[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { body } = await ask('GET', `/api/v1/links/autumn/history?limit=2${query}`);
    const page = body as Page;
    versions.push(
      page.items.map(({ version, before }) => [version, (before as { title: unknown } | null)?.title]),
    );
    if (page.next_cursor !== null) {
      t.equal((await ask('GET', `/api/v1/links/winter/history?cursor=${page.next_cursor}`)).status, 400);
    }
    cursor = page.next_cursor;
  }
  t.strictSame(versions, [
    [
      [5, '2'],
      [4, '1'],
    ],
    [
      [3, '0'],
      [2, null],
    ],
    [[1, undefined]],
  ]);
});

t.test('revert makes an earlier version the newest one', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, {
    key: 'autumn',
    url: TARGET,
    title: 'One',
    tags: ['a'],
    redirect_status: 301,
  });
  await ask('PUT', '/api/v1/links/autumn', { body: { url: OTHER, status: 'disabled' } });
  const { status, headers, body } = await ask('POST', '/api/v1/links/autumn/revert', {
    body: { version: 1 },
  });
  t.equal(status, 200);
  t.equal(headers.get('etag'), '"3"');
  t.strictSame(body, { ...link, version: 3, seq: 3 });
  t.strictSame((await ask('GET', '/api/v1/links?q=One')).body, { items: [body], next_cursor: null });
});

t.test('revert to what a link is already changes nothing', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, body } = await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 1 } });
  t.equal(status, 200);
  t.strictSame(body, link);
});

t.test('revert to a version that never was is not found', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, body } = await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 2 } });
  t.equal(status, 404);
  t.strictSame(
    body,
    problem('not_found', 'The link never had this version. Its history lists the versions it had.'),
  );
});

t.test('revert needs a version', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const missing = await ask('POST', '/api/v1/links/autumn/revert', { body: {} });
  t.strictSame(missing.body, invalidFields({ version: 'is required' }));
  for (const version of ['1', 0, -1, 1.5, null, 2 ** 53]) {
    const { status, body } = await ask('POST', '/api/v1/links/autumn/revert', { body: { version } });
    t.equal(status, 400, String(version));
    t.match(body, { errors: [{ field: 'version' }] });
  }
});

t.test('events list every change of every link, newest first', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await clock.advance(1000);
  await ask('PATCH', '/api/v1/links/autumn', { body: { title: 'x' } });
  await ask('POST', '/shorten', { key: null, body: { url: OTHER, key: 'winter' } });
  await ask('DELETE', '/api/v1/links/autumn');
  await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 1 } });
  const event = { link_id: 1, domain: 'sho.rt', key: 'autumn', by: 'api-key:1', at: timeAfter(1000) };
  const one = optionsBody({ url: TARGET });
  const two = { ...one, title: 'x' };
  const events = [
    { ...event, seq: 5, type: 'reverted', version: 4, link: one },
    { ...event, seq: 4, type: 'deleted', version: 3, link: { ...two, status: 'deleted' } },
    {
      ...event,
      seq: 3,
      type: 'created',
      link_id: 2,
      key: 'winter',
      version: 1,
      by: 'anonymous',
      link: optionsBody({ url: OTHER }),
    },
    { ...event, seq: 2, type: 'updated', version: 2, link: two },
    { ...event, seq: 1, type: 'created', version: 1, at: START, link: one },
  ];
  t.strictSame((await ask('GET', '/api/v1/events')).body, { items: events, next_cursor: null });
  t.strictSame((await ask('GET', '/api/v1/events?after=0')).body, {
    items: [...events].reverse(),
    next_cursor: null,
  });
  t.strictSame((await ask('GET', '/api/v1/events?after=3')).body, {
    items: [events[1], events[0]],
    next_cursor: null,
  });
  t.strictSame((await ask('GET', `/api/v1/events?after=${Number.MAX_SAFE_INTEGER}`)).body, {
    items: [],
    next_cursor: null,
  });
});

t.test('events come in pages both ways, also while more happens', async (t) => {
  const { ask } = await startHttp(t);
  for (let count = 0; count < 7; count++) await makeLink(ask, { key: `k${count}`, url: TARGET });
  for (const [query, expected] of [
    ['', [7, 6, 5, 4, 3, 2, 1]],
    ['&after=0', [1, 2, 3, 4, 5, 6, 7]],
  ] as const) {
    const seqs: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body } = await ask(
        'GET',
        `/api/v1/events?limit=3${query}${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      const page = body as Page;
      seqs.push(...page.items.map(({ seq }) => seq));
      cursor = page.next_cursor;
      if (query === '') await makeLink(ask, { url: TARGET });
    }
    t.strictSame(seqs.slice(0, 7), expected, query);
  }
});

t.test('a follower sees every seq once, in order', async (t) => {
  const { ask } = await startHttp(t);
  const seqs: number[] = [];
  const follow = async () => {
    const { body } = await ask('GET', `/api/v1/events?after=${seqs.at(-1) ?? 0}&limit=200`);
    seqs.push(...(body as Page).items.map(({ seq }) => seq as number));
  };
  for (let round = 0; round < 10; round++) {
    await Promise.all([...Array.from({ length: 10 }, () => makeLink(ask, { url: TARGET })), follow()]);
  }
  await follow();
  t.strictSame(
    seqs,
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

t.test('questions about history and events that are not understood are refused', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'a', url: TARGET });
  await makeLink(ask, { key: 'b', url: TARGET });
  const { body } = await ask('GET', '/api/v1/events?limit=1');
  const cursor = (body as Page).next_cursor;
  const followed = await ask('GET', '/api/v1/events?after=0&limit=1');
  const after = (followed.body as Page).next_cursor;
  const foreign = {
    cursor: 'does not belong to this request; use next_cursor of the page before with the same parameters',
  };
  const paths = {
    '/api/v1/events?after=-1': { after: `expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}` },
    '/api/v1/events?after=9999999999999999': {
      after: `expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
    },
    '/api/v1/events?before=1': { before: 'is not a known field' },
    '/api/v1/events?limit=0': { limit: 'expected a whole number from 1 to 200' },
    [`/api/v1/events?after=1&cursor=${cursor}`]: foreign,
    [`/api/v1/events?after=1&cursor=${after}`]: foreign,
    [`/api/v1/events?cursor=${after}`]: foreign,
    [`/api/v1/links?cursor=${cursor}`]: foreign,
    [`/api/v1/links/a/history?cursor=${cursor}`]: foreign,
    '/api/v1/links/a/history?limit=201': { limit: 'expected a whole number from 1 to 200' },
    '/api/v1/links/a/history?after=1': { after: 'is not a known field' },
    '/api/v1/links/a?fields=url': { fields: 'is not a known field' },
  };
  for (const [path, faults] of Object.entries(paths)) {
    const answer = await ask('GET', path);
    t.equal(answer.status, 400, path);
    t.strictSame(answer.body, invalidFields(faults));
  }
});
