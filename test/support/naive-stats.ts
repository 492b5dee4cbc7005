/**
 * Statistics the plainest way: every click is looked at, `Intl` says what the clocks of its zone showed, and buckets are found
 * by asking it again for every quarter of an hour. Shares no code with app/stats/.
 */

import type { TestClick } from './naive-tiers.ts';

export type NaiveInterval = 'minute' | 'hour' | 'day' | 'week' | 'month';

export interface NaiveQuery {
  readonly fromMs: number;
  readonly toMs: number;
  readonly interval: NaiveInterval;
  readonly tz: string;
  readonly reasons: readonly string[];
}

export interface NaiveStats {
  readonly clicks: number;
  readonly by_reason: Readonly<Record<string, number>>;
  readonly visitors: number;
  readonly series: readonly {
    readonly at: string;
    readonly clicks: number;
    readonly by_reason: Readonly<Record<string, number>>;
  }[];
  /** By the names of the answer; equals are sorted by value. */
  readonly top: Readonly<Record<string, readonly { value: string | null; clicks: number }[]>>;
}

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 96 * QUARTER_MS;
const REASONS = ['human', 'bot', 'preview', 'prefetch', 'repeat'];
const RANKINGS = {
  referrers: 'referrer',
  countries: 'country',
  browsers: 'browser',
  os: 'os',
  devices: 'device',
  languages: 'language',
} as const;

const formats = new Map<string, Intl.DateTimeFormat>();
const labels = new Map<string, string>();

function formatOf(tz: string): Intl.DateTimeFormat {
  const known = formats.get(tz);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: tz,
    calendar: 'iso8601',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    timeZoneName: 'longOffset',
  });
  formats.set(tz, format);
  return format;
}

/** What the clocks and the calendar showed, as far as the interval looks at it: the same for all moments of one bucket. */
export function labelOf(ms: number, interval: NaiveInterval, tz: string): string {
  const step = interval === 'minute' ? MINUTE_MS : QUARTER_MS;
  const start = Math.floor(ms / step) * step;
  const key = `${tz} ${interval} ${start}`;
  const known = labels.get(key);
  if (known !== undefined) return known;
  const label = makeLabel(start, interval, tz);
  if (labels.size > 500_000) labels.clear();
  labels.set(key, label);
  return label;
}

function makeLabel(ms: number, interval: NaiveInterval, tz: string): string {
  const parts = Object.fromEntries(
    formatOf(tz)
      .formatToParts(ms)
      .map(({ type, value }) => [type, value]),
  );
  const { year, month, day, hour, minute, timeZoneName } = parts;
  const date = `${year}-${month}-${day}`;
  switch (interval) {
    case 'minute':
      return `${date} ${hour}:${minute} ${timeZoneName}`;
    case 'hour':
      return `${date} ${hour} ${timeZoneName}`;
    case 'day':
      return date;
    case 'month':
      return `${year}-${month}`;
    case 'week': {
      const monday = new Date(`${date}T00:00:00Z`);
      while (monday.getUTCDay() !== 1) monday.setUTCDate(monday.getUTCDate() - 1);
      return `week of ${monday.toISOString()}`;
    }
  }
}

/** Where each bucket of the range begins, by its label. */
function findBuckets({ fromMs, toMs, interval, tz }: NaiveQuery): Map<string, number> {
  const step = interval === 'minute' ? MINUTE_MS : QUARTER_MS;
  let start = Math.floor(fromMs / step) * step;
  const first = labelOf(start, interval, tz);
  while (labelOf(start - step, interval, tz) === first) start -= step;
  const buckets = new Map<string, number>();
  for (let ms = start; ms < toMs; ms += step) {
    const label = labelOf(ms, interval, tz);
    if (!buckets.has(label)) buckets.set(label, ms);
  }
  return buckets;
}

export interface NaiveOptions {
  /** Counts visitors of one day. */
  readonly countVisitors: (visitors: readonly number[]) => number;
  /** Clicks of earlier days of UTC are known by day only. */
  readonly daysBeforeMs?: number;
}

/** Of clicks that are all asked for: those of other links are left out before. */
export function countNaively(
  clicks: readonly TestClick[],
  query: NaiveQuery,
  { countVisitors, daysBeforeMs = 0 }: NaiveOptions,
): NaiveStats {
  const { fromMs, toMs, interval, tz, reasons } = query;
  const buckets = findBuckets(query);
  const counts = new Map([...buckets.keys()].map((label) => [label, zeros()]));
  const total = zeros();
  const known = clicks.map((click) => ({
    ...click,
    atMs: click.atMs < daysBeforeMs ? Math.floor(click.atMs / DAY_MS) * DAY_MS + DAY_MS / 2 : click.atMs,
  }));
  for (const { atMs, reason } of known) {
    if (atMs < fromMs || atMs >= toMs) continue;
    const bucket = counts.get(labelOf(atMs, interval, tz)) as Record<string, number>;
    bucket[reason] = (bucket[reason] as number) + 1;
    total[reason] = (total[reason] as number) + 1;
  }
  const firstDay = Math.floor(fromMs / DAY_MS);
  const lastDay = Math.floor((toMs - 1) / DAY_MS);
  const ofDays = clicks.filter(({ atMs }) => {
    const day = Math.floor(atMs / DAY_MS);
    return day >= firstDay && day <= lastDay;
  });
  const shown = (of: Record<string, number>) => ({
    clicks: reasons.reduce((sum, reason) => sum + (of[reason] as number), 0),
    by_reason: of,
  });
  return {
    ...shown(total),
    visitors: sumVisitors(ofDays, countVisitors),
    series: [...buckets].map(([label, at]) => ({
      at: new Date(at).toISOString(),
      ...shown(counts.get(label) as Record<string, number>),
    })),
    top: Object.fromEntries(
      Object.entries(RANKINGS).map(([name, field]) => [
        name,
        rank(ofDays.filter(({ reason }) => reasons.includes(reason)).map((click) => click[field])),
      ]),
    ),
  };
}

function zeros(): Record<string, number> {
  return Object.fromEntries(REASONS.map((reason) => [reason, 0]));
}

function sumVisitors(clicks: readonly TestClick[], count: NaiveOptions['countVisitors']): number {
  const byDay = new Map<number, number[]>();
  for (const { atMs, visitor, reason } of clicks) {
    if (visitor === null || reason !== 'human') continue;
    const day = Math.floor(atMs / DAY_MS);
    byDay.set(day, [...(byDay.get(day) ?? []), visitor]);
  }
  return [...byDay.values()].reduce((sum, visitors) => sum + count(visitors), 0);
}

function rank(values: readonly (string | null)[]): { value: string | null; clicks: number }[] {
  const counts = new Map<string | null, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return sortRanking([...counts].map(([value, clicks]) => ({ value, clicks })));
}

/** Most first; equals by value, which the service does not promise. */
export function sortRanking<T extends { value: string | null; clicks: number }>(entries: readonly T[]): T[] {
  return entries.toSorted(
    (a, b) => b.clicks - a.clicks || JSON.stringify(a.value).localeCompare(JSON.stringify(b.value)),
  );
}
