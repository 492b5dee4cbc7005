/**
 * Statistics of one link, of a tag or of everything, from what is counted already:
 *
 *   catch up ─▶ range and buckets ─▶ plan ─▶ single clicks where an edge cuts a quarter ─▶ tiers ─▶ names of words
 *                                     ▲                    │ gone, or too many
 *                                     └── rounded edges ◀──┘
 */

import { CLICK_REASONS, type ClickReason } from '../clicks/click.ts';
import { DAY_MS } from '../clicks/visitor.ts';
import { type Clock, isRfc3339 } from '../kernel/clock.ts';
import { type FieldFault, invalid } from '../kernel/errors.ts';
import { type Bucket, hasFewBuckets, type Interval, listBuckets, type Range } from './buckets.ts';
import { moveEdgesBehindNow, planReading, type ReadingPlan, roundEdges } from './plan.ts';
import { BREAKDOWNS, type Breakdown, type Scope, type StatsStore, type Word } from './stats-store.ts';
import { createTally, noClicks, type ReasonCounts, type Tally } from './tally.ts';
import { openZone, type Zone } from './zone.ts';

export interface StatsQuery {
  readonly fromMs: number | null;
  readonly toMs: number | null;
  readonly interval: Interval;
  readonly tz: string;
  readonly reasons: ReadonlySet<ClickReason>;
  /** Entries of each ranking. */
  readonly limit: number;
}

/**
 * `exact`: every count is of its bucket to the millisecond · `quarter`: the range was rounded to quarters of an hour, because
 * its single clicks are not there to be read · `utc_day`: some days of UTC were counted where their noon is.
 */
export const GRAINS = ['exact', 'quarter', 'utc_day'] as const;
export type Grain = (typeof GRAINS)[number];

export interface SeriesEntry {
  readonly atMs: number;
  readonly byReason: ReasonCounts;
}

export interface TopEntry {
  readonly value: string | null;
  readonly clicks: number;
}

export interface Stats extends Range {
  readonly interval: Interval;
  readonly tz: string;
  readonly grain: Grain;
  readonly asOfMs: number;
  readonly byReason: ReasonCounts;
  readonly visitors: number;
  readonly series: readonly SeriesEntry[];
  readonly top: ReadonlyMap<Breakdown, readonly TopEntry[]>;
}

/** Counts what is stored but not counted yet; says up to when everything is. */
export type CatchUp = () => Promise<{ readonly asOfMs: number }>;

export interface StatsReaderDeps {
  readonly store: StatsStore;
  readonly clock: Clock;
  readonly catchUp: CatchUp;
}

export type StatsReader = (scope: Scope, query: StatsQuery) => Promise<Stats>;

/** Buckets of one answer, about 300 KB. */
export const BUCKETS_MAX = 2000;
/** Single clicks that one answer may read: about half a second, in portions. */
const CLICKS_MAX = 200_000;
export const DEFAULT_DAYS = 30;
/** Minutes of more than a day would be more than an answer holds. */
const DEFAULT_DAYS_BY_MINUTE = 1;
/** What the clicks of a kind come under that had more texts than are kept. No host, country or browser is called so. */
export const OTHER_VALUE = '(other)';

const WIDTHS: Readonly<Record<Interval, number>> = { minute: 1, hour: 4, day: 96, week: 96, month: 96 };

export function createStatsReader({ store, clock, catchUp }: StatsReaderDeps): StatsReader {
  async function read(
    scope: Scope,
    query: StatsQuery,
    exactEdges: readonly number[],
  ): Promise<{ tally: Tally; edges: readonly number[] }> {
    const { interval, reasons } = query;
    let plan = planReading(exactEdges, WIDTHS[interval]);
    let tally = createTally({ edges: plan.edges, reasons });
    const outcome = await readSplits(scope, plan, tally);
    if (outcome !== 'read') {
      if (interval === 'minute') throw invalid([{ field: 'interval', message: NO_MINUTES[outcome] }]);
      plan = planReading(roundEdges(exactEdges), WIDTHS[interval]);
      tally = createTally({ edges: plan.edges, reasons });
    }
    await store.readTiers(scope, plan.runs, daysOf(plan.edges), tally);
    return { tally, edges: plan.edges };
  }

  async function readSplits(scope: Scope, { splits }: ReadingPlan, tally: Tally) {
    return splits.length === 0 ? 'read' : store.readClicks(scope, splits, CLICKS_MAX, tally);
  }

  async function readTop(tally: Tally, limit: number): Promise<Stats['top']> {
    const top = BREAKDOWNS.map((breakdown) => [breakdown, tally.top(breakdown, limit)] as const);
    const ids = top.flatMap(([, entries]) => entries.map(([word]) => word)).filter(isNumber);
    const texts = await store.readWords([...new Set(ids)]);
    const toEntry = ([word, clicks]: [Word, number]): TopEntry => ({ value: toValue(word, texts), clicks });
    return new Map(top.map(([breakdown, entries]) => [breakdown, entries.map(toEntry)]));
  }

  return async (scope, query) => {
    const { interval, reasons, limit } = query;
    const zone = requireZone(query.tz);
    const nowMs = clock.nowMs();
    const range = await decideRange(query, zone, nowMs);
    const buckets = await listBuckets(range, interval, zone);
    const { asOfMs } = await catchUp();
    const wanted = edgesOf(buckets, range);
    const { tally, edges } = await read(scope, { ...query, reasons }, moveEdgesBehindNow(wanted, nowMs));
    const isRounded = wanted.some((atMs, index) => atMs < nowMs && atMs !== edges[index]);
    return {
      fromMs: isRounded ? (edges[0] as number) : range.fromMs,
      toMs: isRounded && range.toMs < nowMs ? (edges.at(-1) as number) : range.toMs,
      interval,
      tz: zone.name,
      grain: grainOf(tally, isRounded),
      asOfMs,
      byReason: addUp(tally.series),
      visitors: await tally.countVisitors(),
      series: buckets.map(({ atMs }, index) => ({ atMs, byReason: tally.series[index] as ReasonCounts })),
      top: await readTop(tally, limit),
    };
  };
}

const NO_MINUTES = {
  gone: 'minutes are known only as long as single clicks are kept; ask for a later "from", or for interval=hour',
  too_many: `minutes of more than ${CLICKS_MAX} clicks are not read at once; ask for a shorter range, or for interval=hour`,
} as const;

function requireZone(tz: string): Zone {
  const zone = openZone(tz);
  if (zone !== null) return zone;
  const message = `there is no time zone "${tz}"; expected a name of the IANA such as Europe/Berlin`;
  throw invalid([{ field: 'tz', message }]);
}

/** Not given, a range ends now and begins with the bucket that lies `DEFAULT_DAYS` back, so that no first bar is cut. */
async function decideRange(query: StatsQuery, zone: Zone, nowMs: number): Promise<Range> {
  const { interval } = query;
  const toMs = query.toMs ?? nowMs;
  const days = interval === 'minute' ? DEFAULT_DAYS_BY_MINUTE : DEFAULT_DAYS;
  const fromMs = query.fromMs ?? (await floorToBucket(toMs - days * DAY_MS, interval, zone));
  const range = { fromMs, toMs };
  const faults = faultsOf(range, interval, query.fromMs === null ? 'to' : 'from');
  if (faults.length > 0) throw invalid(faults);
  return range;
}

async function floorToBucket(atMs: number, interval: Interval, zone: Zone): Promise<number> {
  const [bucket] = isCounted(atMs) ? await listBuckets({ fromMs: atMs, toMs: atMs + 1 }, interval, zone) : [];
  return bucket?.atMs ?? atMs;
}

function faultsOf(range: Range, interval: Interval, field: 'from' | 'to'): FieldFault[] {
  if (!isCounted(range.fromMs) || !isCounted(range.toMs)) {
    return [{ field, message: 'expected a year from 1970 to 9998' }];
  }
  if (range.fromMs >= range.toMs) return [{ field, message: 'expected "from" to be earlier than "to"' }];
  if (hasFewBuckets(range, interval, BUCKETS_MAX)) return [];
  const wider = (['hour', 'day', 'week', 'month'] as const).find((other) =>
    hasFewBuckets(range, other, BUCKETS_MAX),
  );
  const advice = wider === undefined ? 'ask for a shorter range' : `use interval=${wider} or a shorter range`;
  return [{ field: 'interval', message: `the range has more than ${BUCKETS_MAX} buckets; ${advice}` }];
}

/** Years that a series can be shown in, with a bucket's room at both ends. */
function isCounted(ms: number): boolean {
  return ms >= 0 && isRfc3339(ms + 365 * DAY_MS);
}

function edgesOf(buckets: readonly Bucket[], { fromMs, toMs }: Range): number[] {
  return [...buckets.map(({ atMs }) => Math.max(atMs, fromMs)), toMs];
}

/** Every day of UTC that the range touches. */
function daysOf(edges: readonly number[]): { fromDay: number; toDay: number } {
  const fromMs = edges[0] as number;
  const toMs = edges.at(-1) as number;
  return { fromDay: Math.floor(fromMs / DAY_MS), toDay: Math.ceil(toMs / DAY_MS) };
}

function grainOf(tally: Tally, isRounded: boolean): Grain {
  if (tally.hasCutDays()) return 'utc_day';
  return isRounded ? 'quarter' : 'exact';
}

function addUp(series: readonly ReasonCounts[]): ReasonCounts {
  const sum = noClicks();
  for (const counts of series) {
    for (const reason of CLICK_REASONS) sum[reason] += counts[reason];
  }
  return sum;
}

function isNumber(word: Word): word is number {
  return typeof word === 'number';
}

function toValue(word: Word, texts: ReadonlyMap<number, string>): string | null {
  if (word === 'other') return OTHER_VALUE;
  return word === null ? null : (texts.get(word) ?? null);
}

/** The clicks that were asked for. */
export function sumOf(counts: ReasonCounts, reasons: ReadonlySet<ClickReason>): number {
  return CLICK_REASONS.reduce((sum, reason) => (reasons.has(reason) ? sum + counts[reason] : sum), 0);
}
