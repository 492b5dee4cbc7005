import fc from 'fast-check';
import t from 'tap';
import type { z } from 'zod';
import {
  createLinkSchemas,
  eventsQuery,
  linkView,
  listQuery,
  revertBody,
} from '../../app/links/link-schema.ts';
import { createLinkViews } from '../../app/links/link-view.ts';
import { newLink, optionsFor, T0 } from '../contract/store.ts';
import { propertyRuns } from '../support/property.ts';

const schemas = createLinkSchemas({ isSelf: (url) => url.hostname === 'sho.rt' });
const views = createLinkViews({
  baseUrl: 'https://sho.rt:8443',
  readUse: async () => (id) => (id === 7 ? { clicks: 3, ofMax: 4 } : null),
});

function faultsOf(schema: z.ZodType, body: unknown): readonly (readonly [string, string])[] {
  const issues = schema.safeParse(body).error?.issues ?? [];
  return issues.map((issue) => [issue.path.join('.'), issue.message] as const);
}

const URL_ = 'https://example.com/';

t.test('a draft is read, its target normalised and its texts composed', async (t) => {
  t.same(schemas.draft.parse({ url: 'https://bücher.example' }), { url: 'https://xn--bcher-kva.example/' });
  const full = {
    url: URL_,
    key: 'Autumn_1',
    title: 'u\u0308ber',
    tags: ['a', 'A', 'gru\u0308n'],
    status: 'disabled',
    redirect_status: 308,
    expires_at: '2026-01-31T13:00:00+01:00',
    max_clicks: 1_000_000_000,
  };
  t.same(schemas.draft.parse(full), { ...full, title: 'über', tags: ['a', 'A', 'grün'], expires_at: T0 });
  t.same(schemas.draft.parse({ url: URL_, title: null, expires_at: null, max_clicks: null }), {
    url: URL_,
    title: null,
    expires_at: null,
    max_clicks: null,
  });
  t.same(schemas.patch.parse({}), {});
});

t.test('each fault is told with its field', async (t) => {
  const cases: readonly (readonly [body: object, faults: readonly (readonly [string, string])[]])[] = [
    [{}, [['url', 'Invalid input: expected string, received undefined']]],
    [{ url: 'x.com' }, [['url', 'expected a URL that starts with http:// or https://']]],
    [{ url: 'https://sho.rt/x' }, [['url', 'a link to this service itself would lead in circles']]],
    [{ url: URL_, key: 'a b' }, [['key', 'expected 1 to 64 characters of A–Z a–z 0–9 - _']]],
    [{ url: URL_, key: 'API' }, [['key', '"API" is reserved; choose another key']]],
    [{ url: URL_, title: 'x'.repeat(501) }, [['title', 'expected at most 500 characters']]],
    [{ url: URL_, title: 'a\nb' }, [['title', 'control characters and broken Unicode are not allowed']]],
    [{ url: URL_, title: '\ud83c' }, [['title', 'control characters and broken Unicode are not allowed']]],
    [{ url: URL_, tags: [''] }, [['tags.0', 'expected at least 1 character']]],
    [{ url: URL_, tags: ['ok', 'x'.repeat(51)] }, [['tags.1', 'expected at most 50 characters']]],
    [{ url: URL_, tags: ['ü', 'u\u0308'] }, [['tags', 'expected each tag once']]],
    [{ url: URL_, tags: Array.from({ length: 21 }, String) }, [['tags', 'expected at most 20 tags']]],
    [{ url: URL_, status: 'deleted' }, [['status', 'expected enabled or disabled']]],
    [{ url: URL_, redirect_status: 303 }, [['redirect_status', 'expected one of 301, 302, 307, 308']]],
    [{ url: URL_, expires_at: 'soon' }, [['expires_at', 'expected a time such as 2026-01-31T12:00:00Z']]],
    [
      { url: URL_, expires_at: '2026-02-30T00:00:00Z' },
      [['expires_at', 'expected a time such as 2026-01-31T12:00:00Z']],
    ],
    [
      { url: URL_, expires_at: '9999-12-31T23:59:59-00:01' },
      [['expires_at', 'expected a year from 0000 to 9999']],
    ],
    [
      { url: URL_, expires_at: '0000-01-01T00:00:00+00:01' },
      [['expires_at', 'expected a year from 0000 to 9999']],
    ],
    ...[0, -1, 1.5, 1_000_000_001, 1e300, '5', true].map((max_clicks) => {
      const fault = ['max_clicks', 'expected a whole number from 1 to 1000000000, or null'] as const;
      return [{ url: URL_, max_clicks }, [fault]] as const;
    }),
    [{ url: URL_, slug: 'x', code: 'y' }, [['', 'Unrecognized keys: "slug", "code"']]],
    [
      { url: 'x', key: '', title: 1 },
      [
        ['url', 'expected a URL that starts with http:// or https://'],
        ['title', 'Invalid input: expected string, received number'],
        ['key', 'expected 1 to 64 characters of A–Z a–z 0–9 - _'],
      ],
    ],
  ];
  for (const [body, faults] of cases) t.same(faultsOf(schemas.draft, body), faults);
  t.same(faultsOf(schemas.put, { url: URL_, key: 'k' }), [['', 'Unrecognized key: "key"']]);
  t.same(faultsOf(schemas.shorten, { url: URL_, title: 'x' }), [['', 'Unrecognized key: "title"']]);
});

t.test('a batch has 1 to 1,000 links', async (t) => {
  const links = (count: number) => ({ links: Array(count).fill({}) });
  t.same(faultsOf(schemas.batch, links(1)), []);
  t.same(faultsOf(schemas.batch, { ...links(1000), atomic: false }), []);
  t.same(faultsOf(schemas.batch, links(0)), [['links', 'expected at least 1 link']]);
  t.same(faultsOf(schemas.batch, links(1001)), [['links', 'expected at most 1000 links']]);
  t.equal(faultsOf(schemas.batch, { ...links(1), atomic: 'no' }).length, 1);
});

t.test('a query is text, and numbers in it are bounded', async (t) => {
  const query = { limit: '200', q: 'u\u0308', tag: 'x', status: 'all', sort: '-key', cursor: 'c' };
  t.same(listQuery.parse(query), { ...query, limit: 200, q: 'ü' });
  t.same(listQuery.parse({}), {});
  for (const limit of ['0', '201', '-1', '1.5', '1e2', ' 1', '', '99999999999999999']) {
    t.ok(
      faultsOf(listQuery, { limit }).every(
        ([, message]) => message === 'expected a whole number from 1 to 200',
      ),
      limit,
    );
    t.ok(faultsOf(listQuery, { limit }).length > 0, limit);
  }
  t.same(faultsOf(listQuery, { q: '' }), [['q', 'expected at least 1 character']]);
  t.same(faultsOf(listQuery, { q: 'x'.repeat(201) }), [['q', 'expected at most 200 characters']]);
  t.same(faultsOf(listQuery, { status: 'live' }), [['status', 'expected enabled, disabled, deleted or all']]);
  t.same(faultsOf(listQuery, { sort: 'clicks' }), [
    ['sort', 'expected one of -created_at, created_at, -updated_at, updated_at, key, -key'],
  ]);
  t.same(eventsQuery.parse({ after: '0' }), { after: 0 });
  t.same(faultsOf(eventsQuery, { after: '9007199254740992' }), [
    ['after', 'expected a whole number from 0 to 9007199254740991'],
  ]);
  t.same(revertBody.parse({ version: 1 }), { version: 1 });
  t.equal(faultsOf(revertBody, { version: 0 }).length, 1);
});

t.test('links, events and history are shown in the words of the API', async (t) => {
  const options = optionsFor('https://example.com/', {
    title: 'T',
    tags: ['a'],
    expiresAtMs: T0,
    maxClicks: 5,
  });
  const link = newLink({ id: 7, seq: 9 }, 'k', options);
  const shownOptions = {
    url: 'https://example.com/',
    title: 'T',
    tags: ['a'],
    status: 'enabled',
    redirect_status: 302,
    expires_at: '2026-01-31T12:00:00.000Z',
    max_clicks: 5,
  };
  t.same(await views.link(link), {
    ...shownOptions,
    id: 7,
    domain: 'sho.rt:8443',
    key: 'k',
    short_url: 'https://sho.rt:8443/k',
    version: 1,
    seq: 9,
    created_by: 'api-key:1',
    created_at: '2026-01-31T12:00:00.000Z',
    updated_at: '2026-01-31T12:00:00.000Z',
    clicks: 3,
    max_clicks_used: 4,
  });
  t.equal((await views.link({ ...link, domain: 'go.example' })).domain, 'go.example');
  t.same(
    (await views.links([link, { ...link, id: 8 }])).map(({ id, clicks }) => [id, clicks]),
    [
      [7, 3],
      [8, null],
    ],
  );
  t.same(views.shortened(link), {
    key: 'k',
    short_url: 'https://sho.rt:8443/k',
    url: 'https://example.com/',
  });

  const event = {
    seq: 9,
    type: 'created',
    linkId: 7,
    domain: '',
    key: 'k',
    version: 1,
    by: 'x',
    atMs: T0,
  } as const;
  const shownEvent = {
    seq: 9,
    type: 'created',
    link_id: 7,
    domain: 'sho.rt:8443',
    key: 'k',
    version: 1,
    by: 'x',
    at: '2026-01-31T12:00:00.000Z',
  };
  t.same(views.event({ ...event, options }), { ...shownEvent, link: shownOptions });
  t.same(views.event({ ...event, type: 'purged', options: null }), {
    ...shownEvent,
    type: 'purged',
    link: null,
  });

  const bare = { ...options, title: null, expiresAtMs: null, maxClicks: null };
  const shownBare = { ...shownOptions, title: null, expires_at: null, max_clicks: null };
  const shownEntry = { version: 1, seq: 9, type: 'created', by: 'x', at: '2026-01-31T12:00:00.000Z' };
  t.same(views.historyEntry({ ...event, options, before: null }), {
    ...shownEntry,
    before: null,
    after: shownOptions,
  });
  t.same(views.historyEntry({ ...event, options, before: bare }), {
    ...shownEntry,
    before: shownBare,
    after: shownOptions,
  });
});

t.test('any time that is accepted is shown as RFC 3339, and accepted again', async (t) => {
  const part = (max: number, min = 0) =>
    fc.integer({ min, max }).map((value) => String(value).padStart(2, '0'));
  const time = fc
    .record({
      year: fc.oneof(
        fc.constantFrom('0000', '0001', '9999'),
        fc.integer({ min: 1000, max: 9999 }).map(String),
      ),
      rest: fc.oneof(
        fc.tuple(part(12, 1), part(31, 1), part(23), part(59), part(59)),
        fc.constantFrom(['01', '01', '00', '00', '00'], ['12', '31', '23', '59', '59']),
      ),
      zone: fc.constantFrom('Z', '+01:00', '-23:59', '+23:59', '-00:30'),
      fraction: fc.constantFrom('', '.5', '.123456789'),
    })
    .map(({ year, rest: [month, day, hour, minute, second], zone, fraction }) => {
      return `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}${zone}`;
    });
  await fc.assert(
    fc.asyncProperty(time, async (expires_at) => {
      const result = schemas.patch.safeParse({ expires_at });
      if (!result.success) return;
      const expiresAtMs = result.data.expires_at ?? null;
      const shown = await views.link(
        newLink({ id: 1, seq: 1 }, 'k', optionsFor('https://example.com/', { expiresAtMs })),
      );
      linkView.parse(shown);
      t.equal(schemas.patch.parse({ expires_at: shown.expires_at }).expires_at, expiresAtMs);
    }),
    propertyRuns(t, { runs: 500, proveRuns: 50_000 }),
  );
});
