// GET /links/{key}/stats and /stats: how they are asked, and whole answers. That the numbers are right for any range is the
// business of test/unit/stats-property.test.ts.
import t, { type Test } from 'tap';
import {
  type HttpOptions,
  type HttpService,
  invalidFields,
  makeKey,
  makeLink,
  problem,
  START,
  startHttp,
} from '../support/http.ts';
import { type ClickFile, openClickFile, PLAIN_CLICK } from '../support/naive-tiers.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const NOW_MS = Date.parse(START);

export interface StatsService extends HttpService {
  readonly file: ClickFile;
}

async function startWithClicks(t: Test, options: HttpOptions = {}): Promise<StatsService> {
  const service = await startHttp(t, options);
  const file = openClickFile(service.dataDir);
  t.teardown(() => file.connection.close());
  return { ...service, file };
}

const NO_CLICKS = { human: 0, bot: 0, preview: 0, prefetch: 0, repeat: 0 };
const NO_TOP = { referrers: [], countries: [], browsers: [], os: [], devices: [], languages: [] };

t.test('the clicks of a link, by day of the last 30 days', async (t) => {
  const { ask, file } = await startWithClicks(t);
  const { id } = await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  const known = {
    referrer: 'news.example',
    country: 'DE',
    language: 'de',
    browser: 'Firefox',
    os: 'Linux',
    device: 'desktop',
  };
  file.store([
    { ...PLAIN_CLICK, ...known, linkId: id, atMs: NOW_MS - 1, visitor: 1 },
    { ...PLAIN_CLICK, ...known, linkId: id, atMs: NOW_MS - 2, visitor: 1, referrer: null },
    { ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - DAY_MS, visitor: 2 },
    { ...PLAIN_CLICK, ...known, linkId: id, atMs: NOW_MS - 3, reason: 'bot' },
    { ...PLAIN_CLICK, linkId: id + 1, atMs: NOW_MS - 3 },
    // Before the range.
    { ...PLAIN_CLICK, linkId: id, atMs: Date.parse('2025-12-31T23:59:59.999Z') },
  ]);
  file.recount();
  const { status, headers, body } = await ask('GET', '/api/v1/links/autumn/stats');
  t.equal(status, 200);
  t.equal(headers.get('cache-control'), 'no-store');
  const days = Array.from({ length: 31 }, (_, day) => new Date(Date.UTC(2026, 0, 1 + day)).toISOString());
  t.strictSame(body, {
    from: '2026-01-01T00:00:00.000Z',
    to: START,
    interval: 'day',
    tz: 'UTC',
    as_of: START,
    grain: 'exact',
    totals: { clicks: 3, by_reason: { ...NO_CLICKS, human: 3, bot: 1 }, visitors: 2 },
    series: days.map((at, index) => {
      if (index === 29) return { at, clicks: 1, by_reason: { ...NO_CLICKS, human: 1 } };
      if (index === 30) return { at, clicks: 2, by_reason: { ...NO_CLICKS, human: 2, bot: 1 } };
      return { at, clicks: 0, by_reason: NO_CLICKS };
    }),
    top: {
      referrers: [
        { value: null, clicks: 2 },
        { value: 'news.example', clicks: 1 },
      ],
      countries: [
        { value: 'DE', clicks: 2 },
        { value: null, clicks: 1 },
      ],
      browsers: [
        { value: 'Firefox', clicks: 2 },
        { value: null, clicks: 1 },
      ],
      os: [
        { value: 'Linux', clicks: 2 },
        { value: null, clicks: 1 },
      ],
      devices: [
        { value: 'desktop', clicks: 2 },
        { value: null, clicks: 1 },
      ],
      languages: [
        { value: 'de', clicks: 2 },
        { value: null, clicks: 1 },
      ],
    },
  });
});

t.test('a link without clicks has zeros, by hour too, and a deleted one has its statistics', async (t) => {
  const { ask } = await startWithClicks(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  await ask('DELETE', '/api/v1/links/autumn');
  const query = 'from=2026-03-29T00:30:00Z&to=2026-03-29T03:10:00%2B01:00&interval=hour&tz=europe/berlin';
  const { body } = await ask('GET', `/api/v1/links/autumn/stats?${query}`);
  t.strictSame(body, {
    from: '2026-03-29T00:30:00.000Z',
    to: '2026-03-29T02:10:00.000Z',
    interval: 'hour',
    tz: 'Europe/Berlin',
    as_of: START,
    grain: 'exact',
    totals: { clicks: 0, by_reason: NO_CLICKS, visitors: 0 },
    series: [0, 1, 2].map((hour) => ({
      at: `2026-03-29T0${hour}:00:00.000Z`,
      clicks: 0,
      by_reason: NO_CLICKS,
    })),
    top: NO_TOP,
  });
});

interface StatsBody {
  from: string;
  to: string;
  grain: string;
  totals: { clicks: number; by_reason: Record<string, number> };
  series: { at: string; clicks: number }[];
  top: Record<string, { value: string | null; clicks: number }[]>;
}

async function readStats({ ask }: HttpService, path: string): Promise<StatsBody> {
  const { status, body } = await ask('GET', path);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body as StatsBody;
}

t.test('clicks counts the reasons that are asked for, by_reason has them all', async (t) => {
  const service = await startWithClicks(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const reasons = ['human', 'bot', 'bot', 'preview', 'prefetch', 'repeat'] as const;
  service.file.store(
    reasons.map((reason) => ({
      ...PLAIN_CLICK,
      linkId: id,
      atMs: NOW_MS - 1,
      reason,
      country: reason.toUpperCase(),
    })),
  );
  service.file.recount();
  const expected = {
    '': 1,
    '?reason=all': 6,
    '?reason=bot': 2,
    '?reason=human,repeat': 2,
    '?reason=bot,bot': 2,
  };
  for (const [query, clicks] of Object.entries(expected)) {
    const { totals, series, top } = await readStats(service, `/api/v1/links/id:${id}/stats${query}`);
    t.strictSame(totals.by_reason, { human: 1, bot: 2, preview: 1, prefetch: 1, repeat: 1 });
    t.equal(totals.clicks, clicks, query);
    t.equal(series.at(-1)?.clicks, clicks, query);
    t.equal(
      top.countries?.reduce((sum, entry) => sum + entry.clicks, 0),
      clicks,
      query,
    );
  }
});

t.test('rankings are cut, and what came when there were too many words has a name of its own', async (t) => {
  const service = await startWithClicks(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const clicks = Array.from({ length: 12 }, (_, index) => ({
    ...PLAIN_CLICK,
    linkId: id,
    atMs: NOW_MS - 1,
    referrer: `${index}.example`,
  }));
  service.file.store([...clicks, ...clicks.slice(5, 7)]);
  service.file.connection.exec(
    `update clicks set referrer = 0 where referrer = (select id from words where text = '6.example')`,
  );
  service.file.recount();
  const { top } = await readStats(service, '/api/v1/links/autumn/stats');
  t.strictSame(
    top.referrers?.map(({ value, clicks: count }) => `${value} ${count}`),
    ['5.example 2', '(other) 2', ...[0, 1, 2, 3, 4, 7, 8, 9].map((index) => `${index}.example 1`)],
  );
  const { top: three } = await readStats(service, '/api/v1/links/autumn/stats?limit=3');
  t.equal(three.referrers?.length, 3);
});

t.test('a word that is gone is one that is not known', async (t) => {
  const service = await startWithClicks(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  service.file.store([{ ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - 1, referrer: 'a.example' }]);
  service.file.recount();
  service.file.connection.exec('delete from words');
  const { top } = await readStats(service, '/api/v1/links/autumn/stats');
  t.strictSame(top.referrers, [{ value: null, clicks: 1 }]);
  const { body } = await service.ask('GET', '/api/v1/links/autumn/clicks');
  t.match(body, { items: [{ referrer: null }] });
});

t.test('all links, or those that have a tag now', async (t) => {
  const service = await startWithClicks(t);
  const a = await makeLink(service.ask, { key: 'a', url: 'https://example.com/', tags: ['print', 'öl'] });
  const b = await makeLink(service.ask, { key: 'b', url: 'https://example.com/', tags: ['print'] });
  const c = await makeLink(service.ask, { key: 'c', url: 'https://example.com/' });
  const clicks = [a, a, b, b, b, c].map(({ id }) => ({ ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - 1 }));
  service.file.store(clicks);
  service.file.recount();
  const expected = { '': 6, '?tag=print': 5, '?tag=%C3%B6l': 2, '?tag=none': 0 };
  for (const [query, count] of Object.entries(expected)) {
    t.equal((await readStats(service, `/api/v1/stats${query}`)).totals.clicks, count, query);
  }
  await service.ask('PATCH', '/api/v1/links/b', { body: { tags: [] } });
  t.equal((await readStats(service, '/api/v1/stats?tag=print')).totals.clicks, 2);
});

t.test('by minute, a day when no beginning is given', async (t) => {
  const service = await startWithClicks(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  service.file.store(
    [0, 60_000, 90_000].map((ms) => ({ ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - 1 - ms })),
  );
  service.file.recount();
  const { series, from } = await readStats(service, '/api/v1/links/autumn/stats?interval=minute');
  t.equal(from, '2026-01-30T12:00:00.000Z');
  t.equal(series.length, 24 * 60);
  t.strictSame(
    series.slice(-2).map(({ at, clicks }) => [at, clicks]),
    [
      ['2026-01-31T11:58:00.000Z', 2],
      ['2026-01-31T11:59:00.000Z', 1],
    ],
  );
});

t.test('where single clicks are gone the range is rounded, and there are no minutes', async (t) => {
  const service = await startWithClicks(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  service.file.store(
    [1, 20, 40].map((minutes) => ({ ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - minutes * 60_000 })),
  );
  service.file.recount();
  const range = 'from=2026-01-31T11:21:00Z&to=2026-01-31T11:46:00Z';
  const path = `/api/v1/links/autumn/stats?${range}&interval=hour`;
  t.match(await readStats(service, path), {
    from: '2026-01-31T11:21:00.000Z',
    to: '2026-01-31T11:46:00.000Z',
    grain: 'exact',
    totals: { clicks: 1 },
  });
  service.file.dropClicksBefore(NOW_MS - 30 * 60_000);
  t.match(await readStats(service, path), {
    from: '2026-01-31T11:15:00.000Z',
    to: '2026-01-31T12:00:00.000Z',
    grain: 'quarter',
    totals: { clicks: 3 },
  });
  const { status, body } = await service.ask('GET', `/api/v1/links/autumn/stats?${range}&interval=minute`);
  t.equal(status, 400);
  const message =
    'minutes are known only as long as single clicks are kept; ask for a later "from", or for interval=hour';
  t.strictSame(body, invalidFields({ interval: message }));
});

t.test('what cannot be asked is told apart', async (t) => {
  const { ask } = await startWithClicks(t);
  const time = 'expected a time such as 2026-01-31T12:00:00Z';
  const years = 'expected a year from 1970 to 9998';
  const many = (advice: string) => `the range has more than 2000 buckets; ${advice}`;
  const cases: [string, Record<string, string>][] = [
    ['from=yesterday', { from: time }],
    ['to=2026-01-31', { to: time }],
    ['from=2026-02-01T00:00:00Z', { from: 'expected "from" to be earlier than "to"' }],
    [
      'from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z',
      { from: 'expected "from" to be earlier than "to"' },
    ],
    ['from=1969-12-31T00:00:00Z', { from: years }],
    ['to=1969-12-31T00:00:00Z', { to: years }],
    ['to=9999-12-31T00:00:00Z', { to: years }],
    ['interval=year', { interval: 'expected one of minute, hour, day, week, month' }],
    [
      'tz=Europe/Atlantis',
      { tz: 'there is no time zone "Europe/Atlantis"; expected a name of the IANA such as Europe/Berlin' },
    ],
    ['tz=', { tz: 'there is no time zone ""; expected a name of the IANA such as Europe/Berlin' }],
    [
      'tz=%2B02:00',
      { tz: 'there is no time zone "+02:00"; expected a name of the IANA such as Europe/Berlin' },
    ],
    [`tz=${'x'.repeat(101)}`, { tz: 'expected at most 100 characters' }],
    [
      'reason=cat',
      {
        reason: 'expected human, bot, preview, prefetch, repeat, all or several of them separated by commas',
      },
    ],
    ['limit=0', { limit: 'expected a whole number from 1 to 100' }],
    ['limit=101', { limit: 'expected a whole number from 1 to 100' }],
    ['from=2026-01-01T00:00:00Z&interval=minute', { interval: many('use interval=hour or a shorter range') }],
    ['from=2020-01-01T00:00:00Z', { interval: many('use interval=week or a shorter range') }],
    [
      'from=1970-01-01T00:00:00Z&to=2300-01-01T00:00:00Z&interval=month',
      { interval: many('ask for a shorter range') },
    ],
  ];
  for (const [query, faults] of cases) {
    const { status, body } = await ask('GET', `/api/v1/stats?${query}`);
    t.equal(status, 400, query);
    t.strictSame(body, invalidFields(faults), query);
  }
  t.equal((await ask('GET', '/api/v1/links/none/stats')).status, 404);
  t.equal((await ask('GET', '/api/v1/links/a.b/stats')).status, 404);
});

t.test('statistics need a key that may read links', async (t) => {
  const { ask } = await startWithClicks(t);
  const reader = await makeKey(ask, ['links:read']);
  const writer = await makeKey(ask, ['links:write']);
  for (const path of [
    '/api/v1/stats',
    '/api/v1/links/a/stats',
    '/api/v1/links/a/clicks',
    '/api/v1/links/a/clicks.csv',
  ]) {
    t.equal((await ask('GET', path, { key: null })).status, 401, path);
    t.equal((await ask('GET', path, { key: writer })).status, 403, path);
    t.not((await ask('GET', path, { key: reader })).status, 403, path);
  }
});

t.test('without clicks.db there are no statistics, and links redirect all the same', async (t) => {
  const { ask } = await startWithClicks(t, {
    wrapStore: (store) => ({
      ...store,
      stats: { ...store.stats, readTiers: () => Promise.reject(new Error('broken')) },
    }),
  });
  const { status, body } = await ask('GET', '/api/v1/stats');
  t.equal(status, 500);
  t.strictSame(
    body,
    problem('internal', 'Something went wrong on our side. The log has the details under this request id.'),
  );
});
