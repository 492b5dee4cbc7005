import fc from 'fast-check';
import t from 'tap';
import { Temporal } from 'temporal-polyfill';
import { type Interval, listBuckets } from '../../app/stats/buckets.ts';
import { openZone, type Zone } from '../../app/stats/zone.ts';
import { propertyRuns } from '../support/property.ts';

const HOUR_MS = 60 * 60 * 1000;

function zoneOf(name: string): Zone {
  const zone = openZone(name);
  if (zone === null) throw new Error(name);
  return zone;
}

/** Where the buckets begin, and how many hours each has. */
async function show(tz: string, interval: Interval, from: string, to: string): Promise<string[]> {
  const range = { fromMs: Date.parse(from), toMs: Date.parse(to) };
  const buckets = await listBuckets(range, interval, zoneOf(tz));
  return buckets.map(
    ({ atMs, endMs }) => `${new Date(atMs).toISOString().slice(0, 16)} ${(endMs - atMs) / HOUR_MS}`,
  );
}

t.test('days of 23 and of 25 hours', async (t) => {
  t.strictSame(await show('Europe/Berlin', 'day', '2026-03-28T12:00Z', '2026-03-30T12:00Z'), [
    '2026-03-27T23:00 24',
    '2026-03-28T23:00 23',
    '2026-03-29T22:00 24',
  ]);
  t.strictSame(await show('America/New_York', 'day', '2026-11-01T05:00Z', '2026-11-02T05:00Z'), [
    '2026-11-01T04:00 25',
  ]);
});

t.test('an hour that the clocks show twice is two hours, one that they skip is none', async (t) => {
  t.strictSame(await show('Europe/Berlin', 'hour', '2026-10-24T23:00Z', '2026-10-25T02:30Z'), [
    '2026-10-24T23:00 1',
    '2026-10-25T00:00 1',
    '2026-10-25T01:00 1',
    '2026-10-25T02:00 1',
  ]);
  t.strictSame(await show('Europe/Berlin', 'hour', '2026-03-29T00:00Z', '2026-03-29T02:00Z'), [
    '2026-03-29T00:00 1',
    '2026-03-29T01:00 1',
  ]);
});

t.test('half and three quarters of an hour', async (t) => {
  t.strictSame(await show('Asia/Kathmandu', 'hour', '2026-01-01T00:00Z', '2026-01-01T01:00Z'), [
    '2025-12-31T23:15 1',
    '2026-01-01T00:15 1',
  ]);
  t.strictSame(await show('Asia/Kolkata', 'day', '2026-01-01T00:00Z', '2026-01-01T20:00Z'), [
    '2025-12-31T18:30 24',
    '2026-01-01T18:30 24',
  ]);
  // Lord Howe goes back by half an hour at two: half past one until two comes twice.
  t.strictSame(await show('Australia/Lord_Howe', 'hour', '2026-04-04T14:00Z', '2026-04-04T16:30Z'), [
    '2026-04-04T14:00 1',
    '2026-04-04T15:00 0.5',
    '2026-04-04T15:30 1',
  ]);
});

t.test('a day that begins at one, one that has midnight twice, and one that never was', async (t) => {
  t.strictSame(await show('America/Sao_Paulo', 'day', '2018-11-03T12:00Z', '2018-11-05T01:00Z'), [
    '2018-11-03T03:00 24',
    '2018-11-04T03:00 23',
  ]);
  t.strictSame(await show('America/Havana', 'day', '2026-10-31T12:00Z', '2026-11-02T01:00Z'), [
    '2026-10-31T04:00 24',
    '2026-11-01T04:00 25',
  ]);
  t.strictSame(await show('Pacific/Apia', 'day', '2011-12-29T00:00Z', '2012-01-01T00:00Z'), [
    '2011-12-28T10:00 24',
    '2011-12-29T10:00 24',
    '2011-12-30T10:00 24',
    '2011-12-31T10:00 24',
  ]);
  // Newfoundland went back at one minute past midnight: the day before came again, and belongs to the new one.
  t.strictSame(await show('America/St_Johns', 'day', '2010-11-06T12:00Z', '2010-11-08T03:00Z'), [
    '2010-11-06T02:30 24',
    '2010-11-07T02:30 25',
  ]);
});

t.test('weeks begin on Monday, months on their first', async (t) => {
  t.strictSame(await show('UTC', 'week', '2026-01-04T23:59Z', '2026-01-12T00:00Z'), [
    '2025-12-29T00:00 168',
    '2026-01-05T00:00 168',
  ]);
  t.strictSame(await show('UTC', 'week', '1970-01-01T00:00Z', '1970-01-05T00:01Z'), [
    '1969-12-29T00:00 168',
    '1970-01-05T00:00 168',
  ]);
  t.strictSame(await show('Europe/Berlin', 'month', '2026-02-28T23:00Z', '2026-04-01T00:00Z'), [
    '2026-02-28T23:00 743',
    '2026-03-31T22:00 720',
  ]);
  t.strictSame(await show('UTC', 'month', '2024-02-29T12:00Z', '2024-02-29T12:01Z'), [
    '2024-02-01T00:00 696',
  ]);
});

t.test('an empty range has no bucket, one of a millisecond has one', async (t) => {
  t.strictSame(await show('UTC', 'day', '2026-01-01T00:00Z', '2026-01-01T00:00Z'), []);
  t.strictSame(await show('UTC', 'minute', '2026-01-01T00:00Z', '2026-01-01T00:00:00.001Z'), [
    `2026-01-01T00:00 ${1 / 60}`,
  ]);
});

t.test('names of zones are those of the IANA, in whatever case', async (t) => {
  t.equal(openZone('europe/berlin')?.name, 'Europe/Berlin');
  for (const name of [
    '',
    'Europe/Atlantis',
    '+02:00',
    '-05:00',
    'Z'.repeat(500),
    '../etc',
    'Europe/Berlin\n',
  ]) {
    t.equal(openZone(name), null, name.slice(0, 20));
  }
});

t.test('a century of changing clocks is read in several turns', async (t) => {
  let turns = 0;
  const tick = () => {
    turns++;
    timer = setImmediate(tick);
  };
  let timer = setImmediate(tick);
  const segments = await zoneOf('America/New_York').segments(Date.UTC(1970, 0), Date.UTC(2070, 0));
  clearImmediate(timer);
  t.equal(segments.length, 201);
  t.ok(turns > 10, `${turns} turns`);
});

t.test(
  'in every zone days, weeks and months begin where the library says',
  { timeout: 120_000 },
  async (t) => {
    const zones = Intl.supportedValuesOf('timeZone').filter((name) => name !== 'America/St_Johns');
    const starts = {
      day: (date: Temporal.PlainDate) => date,
      week: (date: Temporal.PlainDate) => date.subtract({ days: date.dayOfWeek - 1 }),
      month: (date: Temporal.PlainDate) => date.with({ day: 1 }),
    };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...zones),
        fc.constantFrom('day', 'week', 'month'),
        fc.integer({ min: Date.UTC(1995, 0), max: Date.UTC(2037, 0) }),
        async (name, interval, fromMs) => {
          const zone = zoneOf(name);
          const [bucket] = await listBuckets({ fromMs, toMs: fromMs + 1 }, interval, zone);
          const date = Temporal.Instant.fromEpochMilliseconds(fromMs).toZonedDateTimeISO(name).toPlainDate();
          const start = starts[interval](date).toZonedDateTime(name);
          return bucket?.atMs === start.epochMilliseconds;
        },
      ),
      propertyRuns(t, { runs: 500, proveRuns: 20_000 }),
    );
  },
);
