// What is read in parts: links with many clicks, tags with many links, quarters with many of both.
import t, { type Test } from 'tap';
import { addVisitors, countVisitors } from '../../app/clicks/sketch.ts';
import { createStatsReader, type StatsReader } from '../../app/stats/read-stats.ts';
import { toStatsView } from '../../app/stats/stats-schema.ts';
import type { Scope, StatsStore } from '../../app/stats/stats-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { countNaively, type NaiveInterval, sortRanking } from '../support/naive-stats.ts';
import { type ClickFile, openClickFile, PLAIN_CLICK, type TestClick } from '../support/naive-tiers.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { openStore } from '../support/store.ts';

const NOW_MS = Date.parse('2026-01-31T12:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;
const QUARTER_MS = 15 * 60 * 1000;

interface Opened {
  readonly stats: StatsStore;
  readonly readStats: StatsReader;
  readonly file: ClickFile;
  tagLinks(tag: string, count: number): Promise<void>;
}

async function open(t: Test): Promise<Opened> {
  const dataDir = t.testdir();
  const store = await openStore({ dataDir });
  const file = openClickFile(dataDir);
  t.teardown(async () => {
    file.connection.close();
    await store.close();
  });
  const readStats = createStatsReader({
    store: store.stats,
    clock: createFakeClock(NOW_MS),
    catchUp: async () => ({ asOfMs: NOW_MS }),
  });
  return {
    stats: store.stats,
    readStats,
    file,
    async tagLinks(tag, count) {
      const options = {
        url: 'https://example.com/',
        title: null,
        tags: [tag],
        status: 'enabled',
        redirectStatus: 302,
        expiresAtMs: null,
        maxClicks: null,
      } as const;
      const commands = Array.from(
        { length: count },
        (_, index) =>
          ({
            type: 'create',
            candidates: [`${tag}-${index}`],
            options,
            reuseEqual: false,
            by: 'test',
            atMs: 0,
          }) as const,
      );
      await store.links.apply([commands]);
    },
  };
}

function makeClick(random: Random, linkId: number, earliestMs: number): TestClick {
  return {
    ...PLAIN_CLICK,
    linkId,
    atMs: pickInteger(random, { min: earliestMs, max: NOW_MS - 1 }),
    reason: random() < 0.7 ? 'human' : 'bot',
    visitor: pickInteger(random, { min: 1, max: 500 }),
    referrer: `${pickInteger(random, { min: 1, max: 90 })}.example`,
    country: random() < 0.5 ? 'DE' : null,
  };
}

interface Check {
  readonly scope: Scope;
  readonly clicks: readonly TestClick[];
  readonly range: { readonly fromMs: number; readonly toMs: number };
  readonly interval?: NaiveInterval;
}

async function check(t: Test, { readStats }: Opened, { scope, clicks, range, interval = 'day' }: Check) {
  const asked = { ...range, interval, tz: 'Asia/Kathmandu', reasons: ['human', 'bot'] as const };
  const query = { ...asked, reasons: new Set(asked.reasons), limit: 100 };
  const { totals, series, top, grain } = toStatsView(await readStats(scope, query), query.reasons);
  const rankings = Object.fromEntries(Object.entries(top).map(([name, list]) => [name, sortRanking(list)]));
  const countPeople = (visitors: readonly number[]): number => countVisitors(addVisitors(null, visitors));
  t.equal(grain, 'exact');
  t.strictSame(
    { ...totals, series, top: rankings },
    countNaively(clicks, asked, { countVisitors: countPeople }),
  );
}

t.test('a link with clicks of a year in thousands of quarters and details', async (t) => {
  const random = createSeededRandom(t);
  const opened = await open(t);
  const earliestMs = NOW_MS - 365 * DAY_MS;
  const clicks = Array.from({ length: 7000 }, () => makeClick(random, 1, earliestMs));
  opened.file.store(clicks);
  opened.file.recount();
  const range = { fromMs: earliestMs + 1, toMs: NOW_MS };
  await check(t, opened, { scope: { linkId: 1 }, clicks, range });
  await check(t, opened, { scope: 'all', clicks, range, interval: 'month' });
});

t.test('a quarter with thousands of clicks of one link, and one with thousands of links', async (t) => {
  const random = createSeededRandom(t);
  const opened = await open(t);
  const earliestMs = NOW_MS - QUARTER_MS;
  const clicks = [
    ...Array.from({ length: 4500 }, () => makeClick(random, 1, earliestMs)),
    ...Array.from({ length: 2500 }, (_, index) => makeClick(random, 2 + index, earliestMs)),
  ];
  opened.file.store(clicks);
  opened.file.recount();
  const range = { fromMs: earliestMs + 60_001, toMs: NOW_MS - 60_002 };
  const mine = clicks.filter(({ linkId }) => linkId === 1);
  await check(t, opened, { scope: { linkId: 1 }, clicks: mine, range, interval: 'minute' });
  await check(t, opened, { scope: 'all', clicks, range, interval: 'minute' });
});

t.test('a tag of thousands of links, of which some have many clicks', async (t) => {
  const random = createSeededRandom(t);
  const opened = await open(t);
  await opened.tagLinks('print', 2500);
  const earliestMs = NOW_MS - 20 * DAY_MS;
  const clicks = [
    ...Array.from({ length: 6000 }, () =>
      makeClick(random, pickInteger(random, { min: 1, max: 2600 }), earliestMs),
    ),
    ...Array.from({ length: 2100 }, () => makeClick(random, 7, earliestMs)),
  ];
  opened.file.store(clicks);
  opened.file.recount();
  const tagged = clicks.filter(({ linkId }) => linkId <= 2500);
  const range = { fromMs: earliestMs + 7, toMs: NOW_MS - 7 };
  await check(t, opened, { scope: { tag: 'print' }, clicks: tagged, range });
});

t.test('too many single clicks are not read: the range is rounded, and minutes are refused', async (t) => {
  const opened = await open(t);
  const clicks = Array.from({ length: 30 }, (_, index) => ({
    ...PLAIN_CLICK,
    linkId: 1,
    atMs: NOW_MS - QUARTER_MS + index,
  }));
  opened.file.store(clicks);
  opened.file.recount();
  const range = { fromMs: NOW_MS - QUARTER_MS, toMs: NOW_MS - 1 };
  const sink = { click: () => undefined };
  t.equal(await opened.stats.readClicks({ linkId: 1 }, [range], 30, sink), 'read');
  t.equal(await opened.stats.readClicks({ linkId: 1 }, [range], 29, sink), 'too_many');

  const readStats = createStatsReader({
    store: { ...opened.stats, readClicks: async () => 'too_many' },
    clock: createFakeClock(NOW_MS),
    catchUp: async () => ({ asOfMs: NOW_MS }),
  });
  const query = { ...range, tz: 'UTC', reasons: new Set(['human'] as const), limit: 10 };
  t.match(await readStats('all', { ...query, interval: 'hour' }), {
    fromMs: NOW_MS - QUARTER_MS,
    toMs: NOW_MS,
    grain: 'quarter',
    byReason: { human: 30 },
  });
  await t.rejects(readStats('all', { ...query, interval: 'minute' }), {
    code: 'invalid',
    message:
      'interval: minutes of more than 200000 clicks are not read at once; ask for a shorter range, or for interval=hour',
  });
});

t.test('single clicks that begin to go while they are read do not count', async (t) => {
  const { stats, file } = await open(t);
  file.store([{ ...PLAIN_CLICK, linkId: 1, atMs: NOW_MS - 2 }]);
  file.recount();
  const range = { fromMs: NOW_MS - 3, toMs: NOW_MS - 1 };
  const outcome = await stats.readClicks({ linkId: 1 }, [range], 10, {
    click: () => file.dropClicksBefore(NOW_MS),
  });
  t.equal(outcome, 'gone');
});

t.test('a breakdown that this release does not know is passed over', async (t) => {
  const opened = await open(t);
  const clicks = [{ ...PLAIN_CLICK, linkId: 1, atMs: NOW_MS - 1 }];
  opened.file.store(clicks);
  opened.file.recount();
  opened.file.connection.exec(
    'insert into click_figures select link_id, 99, at, word, reason, clicks, null from click_figures where kind = 2',
  );
  await check(t, opened, {
    scope: { linkId: 1 },
    clicks,
    range: { fromMs: NOW_MS - DAY_MS, toMs: NOW_MS },
  });
});
