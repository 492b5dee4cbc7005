// Every number of every answer against a recount of the same clicks one by one.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { CLICK_REASONS } from '../../app/clicks/click.ts';
import { addVisitors, countVisitors } from '../../app/clicks/sketch.ts';
import { createStatsReader } from '../../app/stats/read-stats.ts';
import { toStatsView } from '../../app/stats/stats-schema.ts';
import type { Scope } from '../../app/stats/stats-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { countNaively, labelOf, type NaiveQuery, sortRanking } from '../support/naive-stats.ts';
import { openClickFile, type TestClick } from '../support/naive-tiers.ts';
import { propertyRuns } from '../support/property.ts';
import { openStore } from '../support/store.ts';

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 96 * QUARTER_MS;

/** Half and three quarters of an hour, clocks that move by half an hour or at midnight, a day that was skipped, both ends of the world. */
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Havana',
  'Asia/Beirut',
  'America/Sao_Paulo',
  'Africa/Casablanca',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Chatham',
  'America/Caracas',
  'Pacific/Apia',
  'Pacific/Kiritimati',
  'Asia/Pyongyang',
] as const;

/** Moments around which something happens to some of them, the service's own present last. */
const MOMENTS = [
  '2011-12-30T10:00Z', // Apia skips a day.
  '2015-08-14T15:00Z', // Pyongyang goes back by half an hour.
  '2016-05-01T07:00Z', // Caracas goes ahead by half an hour.
  '2018-11-04T03:00Z', // Sao Paulo begins its day at 01:00.
  '2026-03-29T01:00Z', // Europe; Beirut at midnight.
  '2026-04-04T15:00Z', // Lord Howe and Chatham go back.
  '2026-10-25T01:00Z',
  '2026-11-01T06:00Z', // Havana shows 00:00 twice.
].map((text) => Date.parse(text));

const INTERVALS = ['minute', 'hour', 'day', 'week', 'month'] as const;
/** How far clicks and ranges of each interval reach. */
const SPANS: Readonly<Record<(typeof INTERVALS)[number], number>> = {
  minute: 4 * 60 * MINUTE_MS,
  hour: 4 * DAY_MS,
  day: 20 * DAY_MS,
  week: 60 * DAY_MS,
  month: 150 * DAY_MS,
};

const LINKS = [1, 2, 3, 4];
/** The links of the tag `odd`. */
const ODD = [1, 3];

const some = (...texts: string[]) => fc.constantFrom(null, ...texts);

const world = fc.constantFrom(...MOMENTS).chain((centreMs) =>
  fc.constantFrom(...INTERVALS).chain((interval) => {
    const span = SPANS[interval];
    const reach = Math.min(200, span / QUARTER_MS);
    const at = fc.oneof(
      fc.integer({ min: centreMs - span, max: centreMs + span }),
      // Close to the moment, where buckets are odd; and on the very edges.
      fc.integer({ min: centreMs - 2 * 60 * MINUTE_MS, max: centreMs + 2 * 60 * MINUTE_MS }),
      fc.integer({ min: -reach, max: reach }).map((quarters) => centreMs + quarters * QUARTER_MS),
    );
    const click: fc.Arbitrary<TestClick> = fc.record({
      linkId: fc.constantFrom(...LINKS),
      atMs: at,
      reason: fc.constantFrom('human', 'human', ...CLICK_REASONS),
      visitor: fc.option(fc.integer({ min: 1, max: 30 }).map((n) => n * 2 ** 40 + n)),
      referrer: some('a.example', 'b.example', 'c.example'),
      country: some('DE', 'WS'),
      language: some('de', 'sm'),
      browser: some('Firefox', 'Chrome'),
      os: some('Linux', 'macOS'),
      device: some('desktop', 'mobile'),
    });
    const range = fc.tuple(at, at, fc.constantFrom(1, MINUTE_MS, QUARTER_MS, DAY_MS)).map(([a, b, grid]) => {
      const [fromMs = 0, toMs = 0] = [a, b].sort((x, y) => x - y).map((ms) => Math.floor(ms / grid) * grid);
      return { fromMs, toMs: Math.max(toMs, fromMs + grid) };
    });
    const scope = fc.constantFrom<Scope[]>(
      ...LINKS.map((linkId) => ({ linkId })),
      'all',
      { tag: 'odd' },
      { tag: 'none' },
    );
    const query = fc.record({
      range,
      scope,
      tz: fc.constantFrom(...ZONES),
      reasons: fc.subarray([...CLICK_REASONS], { minLength: 1 }),
    });
    return fc.record({
      interval: fc.constant(interval),
      clicks: fc.array(click, { maxLength: 150, size: 'max' }),
      queries: fc.array(query, { minLength: 8, maxLength: 8 }),
      nowMs: at.map((ms) => Math.max(ms, centreMs)),
      droppedBeforeMs: at,
      daysBeforeDay: at.map((ms) => Math.floor(ms / DAY_MS)),
    });
  }),
);

const countPeople = (visitors: readonly number[]): number => countVisitors(addVisitors(null, visitors));

t.test('every number is that of a recount, click by click, in every tier', async (t) => {
  const dataDir = t.testdir();
  const store = await openStore({ dataDir });
  const file = openClickFile(dataDir);
  t.teardown(async () => {
    file.connection.close();
    await store.close();
  });
  for (const linkId of LINKS) {
    const options = {
      url: 'https://example.com/',
      title: null,
      tags: ODD.includes(linkId) ? ['odd'] : [],
      status: 'enabled',
      redirectStatus: 302,
      expiresAtMs: null,
      maxClicks: null,
    } as const;
    const create = { type: 'create', candidates: [`link-${linkId}`], options, reuseEqual: false } as const;
    await store.links.apply([[{ ...create, by: 'test', atMs: 0 }]]);
  }

  let answers = 0;
  await fc.assert(
    fc.asyncProperty(world, async ({ interval, clicks, queries, nowMs, droppedBeforeMs, daysBeforeDay }) => {
      const past = clicks.filter(({ atMs }) => atMs < nowMs);
      const readStats = createStatsReader({
        store: store.stats,
        clock: createFakeClock(nowMs),
        catchUp: async () => ({ asOfMs: nowMs }),
      });

      const check = async (
        { range, scope, tz, reasons }: (typeof queries)[number],
        keptFromMs: number,
        daysBeforeMs: number,
      ): Promise<void> => {
        const asked: NaiveQuery = { ...range, interval, tz, reasons };
        const query = { ...range, interval, tz, reasons: new Set(reasons), limit: 100 };
        const edges = [range.fromMs, range.toMs].filter((ms) => ms < nowMs);
        const isGone = edges.some((ms) => ms % QUARTER_MS !== 0) && firstSplitMs(asked, nowMs) < keptFromMs;
        if (interval === 'minute' && firstSplitMs(asked, nowMs) < keptFromMs) {
          await assert.rejects(readStats(scope, query), { code: 'invalid' });
          return;
        }
        const answer = toStatsView(await readStats(scope, query), query.reasons);
        const used = isGone ? { ...asked, ...roundOutwards(range, nowMs) } : asked;
        const mine = past.filter(({ linkId }) => isOf(scope, linkId));
        const expected = countNaively(mine, used, { countVisitors: countPeople, daysBeforeMs });
        const { totals, series, top } = answer;
        const rankings = Object.fromEntries(
          Object.entries(top).map(([name, entries]) => [name, sortRanking(entries)]),
        );
        const { from, to, grain } = answer;
        assert.deepEqual(
          { from, to, grain, ...totals, series, top: rankings },
          {
            from: new Date(used.fromMs).toISOString(),
            to: new Date(used.toMs).toISOString(),
            grain: grainOf(mine, used, { isGone, daysBeforeMs, nowMs }),
            ...expected,
          },
          JSON.stringify({ scope, ...asked }),
        );
        answers++;
      };

      file.forget();
      file.store(past);
      file.recount();
      for (const query of queries) await check(query, 0, 0);

      file.dropClicksBefore(droppedBeforeMs);
      for (const query of queries) await check(query, droppedBeforeMs, 0);

      file.dropClicksBefore(Math.max(droppedBeforeMs, daysBeforeDay * DAY_MS));
      file.rollUpBefore(daysBeforeDay);
      const keptFromMs = Math.max(droppedBeforeMs, daysBeforeDay * DAY_MS);
      for (const query of queries) await check(query, keptFromMs, daysBeforeDay * DAY_MS);
    }),
    propertyRuns(t, { runs: 12, proveRuns: 600 }),
  );
  t.pass(`${answers} answers`);
});

function isOf(scope: Scope, linkId: number): boolean {
  if (scope === 'all') return true;
  if ('linkId' in scope) return scope.linkId === linkId;
  return scope.tag === 'odd' && ODD.includes(linkId);
}

/** Where the first part of a quarter begins that lies in two buckets or only partly in the range. */
function firstSplitMs({ fromMs, toMs, interval }: NaiveQuery, nowMs: number): number {
  if (fromMs >= nowMs) return Number.POSITIVE_INFINITY;
  if (fromMs % QUARTER_MS !== 0) return fromMs;
  // Of the first minute no edge behind its beginning has come yet.
  if (interval === 'minute') {
    return Math.min(toMs, nowMs) - fromMs > MINUTE_MS || toMs < nowMs ? fromMs : Number.POSITIVE_INFINITY;
  }
  return toMs < nowMs && toMs % QUARTER_MS !== 0
    ? Math.floor(toMs / QUARTER_MS) * QUARTER_MS
    : Number.POSITIVE_INFINITY;
}

function roundOutwards({ fromMs, toMs }: { fromMs: number; toMs: number }, nowMs: number) {
  return {
    fromMs: Math.floor(fromMs / QUARTER_MS) * QUARTER_MS,
    toMs: toMs < nowMs ? Math.ceil(toMs / QUARTER_MS) * QUARTER_MS : toMs,
  };
}

interface GrainFacts {
  readonly isGone: boolean;
  readonly daysBeforeMs: number;
  readonly nowMs: number;
}

/** Days that are known as days only must lie in one bucket and in the range as a whole. */
function grainOf(clicks: readonly TestClick[], query: NaiveQuery, facts: GrainFacts): string {
  const { fromMs, interval, tz } = query;
  const toMs = query.toMs < facts.nowMs ? query.toMs : Math.ceil(query.toMs / QUARTER_MS) * QUARTER_MS;
  const isCut = clicks.some(({ atMs }) => {
    if (atMs >= facts.daysBeforeMs) return false;
    const startMs = Math.floor(atMs / DAY_MS) * DAY_MS;
    const lastMs = startMs + DAY_MS - 1;
    if (lastMs < fromMs || startMs >= query.toMs) return false;
    const isWhole = startMs >= fromMs && lastMs < toMs;
    return !isWhole || labelOf(startMs, interval, tz) !== labelOf(lastMs, interval, tz);
  });
  if (isCut) return 'utc_day';
  return facts.isGone ? 'quarter' : 'exact';
}
