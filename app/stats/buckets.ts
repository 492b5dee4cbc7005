/**
 * The buckets of a series: whole minutes, hours, days, weeks or months of a zone, each with the moment it begins at.
 *
 * A day, a week or a month begins when the clocks first show its midnight, or where they skip it when they first show
 * something later; a day that is skipped as a whole has no bucket. An hour that the clocks show twice is two hours. Weeks
 * begin on Monday.
 */

import { DAY_MS } from '../clicks/visitor.ts';
import type { Zone, ZoneSegment } from './zone.ts';

export const INTERVALS = ['minute', 'hour', 'day', 'week', 'month'] as const;
export type Interval = (typeof INTERVALS)[number];

export interface Bucket {
  readonly atMs: number;
  /** Where the next one begins. */
  readonly endMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** The shortest that each can be, but for hours that the clocks cut. */
const SHORTEST_MS: Readonly<Record<Interval, number>> = {
  minute: MINUTE_MS,
  hour: HOUR_MS,
  day: DAY_MS - HOUR_MS,
  week: 7 * DAY_MS - HOUR_MS,
  month: 28 * DAY_MS - HOUR_MS,
};

/** Whether the range has about `max` buckets or less. */
export function hasFewBuckets(range: Range, interval: Interval, max: number): boolean {
  return range.toMs - range.fromMs <= max * SHORTEST_MS[interval];
}

export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Every bucket that has a part in the range: the first may begin before it and the last end after it. */
export async function listBuckets(range: Range, interval: Interval, zone: Zone): Promise<Bucket[]> {
  if (range.fromMs >= range.toMs) return [];
  const starts =
    interval === 'minute' || interval === 'hour'
      ? await listClockStarts(range, interval === 'minute' ? MINUTE_MS : HOUR_MS, zone)
      : await listDateStarts(range, interval, zone);
  return starts
    .slice(0, -1)
    .map((atMs, index) => ({ atMs, endMs: starts[index + 1] as number }))
    .filter(({ atMs, endMs }) => endMs > range.fromMs && atMs < range.toMs);
}

/** Minutes and hours: whatever the clocks show in full, and each change of the clocks. */
async function listClockStarts({ fromMs, toMs }: Range, stepMs: number, zone: Zone): Promise<number[]> {
  const starts: number[] = [];
  for (const segment of await zone.segments(fromMs - stepMs, toMs + stepMs)) {
    if (starts.length > 0) starts.push(segment.fromMs);
    const firstMs = Math.ceil((segment.fromMs + segment.offsetMs) / stepMs) * stepMs - segment.offsetMs;
    for (let atMs = firstMs; atMs < segment.toMs; atMs += stepMs) {
      if (atMs !== starts.at(-1)) starts.push(atMs);
    }
  }
  return starts;
}

/** A calendar has surprises of two days at most: a day that is skipped beside one that is cut. */
const MARGIN_MS = 3 * DAY_MS;

async function listDateStarts(
  { fromMs, toMs }: Range,
  interval: 'day' | 'week' | 'month',
  zone: Zone,
): Promise<number[]> {
  const first = fromMs - LONGEST_MS[interval] - MARGIN_MS;
  const segments = await zone.segments(first, toMs + LONGEST_MS[interval] + MARGIN_MS);
  const starts: number[] = [];
  let index = 0;
  let localMs = floorDate(first + LONGEST_MS[interval] + (segments[0] as ZoneSegment).offsetMs, interval);
  for (;;) {
    while (!reaches(segments[index] as ZoneSegment, localMs)) index++;
    const segment = segments[index] as ZoneSegment;
    const atMs = Math.max(segment.fromMs, localMs - segment.offsetMs);
    if (atMs !== starts.at(-1)) starts.push(atMs);
    if (atMs >= toMs) return starts;
    localMs = nextDate(localMs, interval);
  }
}

const LONGEST_MS = { day: DAY_MS, week: 7 * DAY_MS, month: 31 * DAY_MS } as const;

/** Whether its clocks come to show something later than `localMs`. The segments end well behind what is looked for. */
function reaches({ toMs, offsetMs }: ZoneSegment, localMs: number): boolean {
  return toMs + offsetMs > localMs;
}

/** Local times are counted as if the clocks were UTC's. */
function floorDate(localMs: number, interval: 'day' | 'week' | 'month'): number {
  const day = Math.floor(localMs / DAY_MS);
  switch (interval) {
    case 'day':
      return day * DAY_MS;
    case 'week':
      // Day 0, 1970-01-01, was a Thursday.
      return (day - ((((day + 3) % 7) + 7) % 7)) * DAY_MS;
    case 'month': {
      const date = new Date(localMs);
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
    }
  }
}

function nextDate(localMs: number, interval: 'day' | 'week' | 'month'): number {
  if (interval !== 'month') return localMs + LONGEST_MS[interval];
  const date = new Date(localMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
}
