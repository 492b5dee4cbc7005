/** Adds up what a store hands over: clicks into buckets, words into rankings, sketches into visitors. */

import { CLICK_REASONS, type ClickReason } from '../clicks/click.ts';
import { countVisitors, mergeSketches } from '../clicks/sketch.ts';
import { DAY_MS } from '../clicks/visitor.ts';
import { nextTurn } from '../kernel/portions.ts';
import { BREAKDOWNS, type Breakdown, type ClickSink, type TierSink, type Word } from './stats-store.ts';

export type ReasonCounts = Record<ClickReason, number>;

export interface Tally extends TierSink, ClickSink {
  /** One for each bucket: the edges but the last. */
  readonly series: readonly ReasonCounts[];
  /** Whether a day of which no more is known was cut by an edge. */
  hasCutDays(): boolean;
  /** The words of a breakdown that most clicks have, and how many; null for those that have none. */
  top(breakdown: Breakdown, limit: number): [Word, number][];
  /** The sum over days: who comes on two days is two visitors. Gives way between. */
  countVisitors(): Promise<number>;
}

export interface TallyOptions {
  readonly edges: readonly number[];
  /** The reasons that rankings count. */
  readonly reasons: ReadonlySet<ClickReason>;
}

/** One takes about 20 µs to count. */
const SKETCHES_PER_TURN = 100;

export function createTally({ edges, reasons }: TallyOptions): Tally {
  const series = edges.slice(0, -1).map(noClicks);
  const words = new Map(BREAKDOWNS.map((breakdown) => [breakdown, new Map<Word, number>()]));
  const sketches = new Map<number, Uint8Array>();
  let hasCutDays = false;
  /** Of the days that rankings are of. */
  let clicksOfDays = 0;

  function addToSeries(atMs: number, reason: ClickReason, clicks: number): void {
    const bucket = series[findBucket(edges, atMs)];
    if (bucket !== undefined) bucket[reason] += clicks;
  }

  function addToDays(reason: ClickReason, clicks: number): void {
    if (reasons.has(reason)) clicksOfDays += clicks;
  }

  return {
    series,

    click: (atMs, reason) => addToSeries(atMs, reason, 1),

    count(atMs, reason, clicks) {
      addToSeries(atMs, reason, clicks);
      addToDays(reason, clicks);
    },

    countBeside: addToDays,

    /** What is known of a day counts where its noon is. */
    countDay(day, reason, clicks) {
      const startMs = day * DAY_MS;
      hasCutDays ||= findBucket(edges, startMs) !== findBucket(edges, startMs + DAY_MS - 1);
      addToSeries(startMs + DAY_MS / 2, reason, clicks);
      addToDays(reason, clicks);
    },

    detail(breakdown, word, reason, clicks) {
      if (!reasons.has(reason)) return;
      const counts = words.get(breakdown) as Map<Word, number>;
      counts.set(word, (counts.get(word) ?? 0) + clicks);
    },

    visitors(day, sketch) {
      const known = sketches.get(day);
      sketches.set(day, known === undefined ? sketch : mergeSketches(known, sketch));
    },

    hasCutDays: () => hasCutDays,

    top(breakdown, limit) {
      const known = words.get(breakdown) as Map<Word, number>;
      const rest = [...known.values()].reduce((left, clicks) => left - clicks, clicksOfDays);
      // Details may have got ahead of counts that were read a moment before.
      return largest(rest > 0 ? [...known, [null, rest]] : known, limit);
    },

    async countVisitors() {
      let sum = 0;
      let counted = 0;
      for (const sketch of sketches.values()) {
        sum += countVisitors(sketch);
        if (++counted % SKETCHES_PER_TURN === 0) await nextTurn();
      }
      return sum;
    },
  };
}

export function noClicks(): ReasonCounts {
  return Object.fromEntries(CLICK_REASONS.map((reason) => [reason, 0])) as ReasonCounts;
}

/** There may be 200,000 words, and a few are wanted: sorting all of them would take a tenth of a second. */
function largest(counts: Iterable<readonly [Word, number]>, limit: number): [Word, number][] {
  const found: [Word, number][] = [];
  for (const [word, clicks] of counts) {
    const last = found[limit - 1];
    if (last !== undefined && compare([word, clicks], last) > 0) continue;
    found.push([word, clicks]);
    found.sort(compare);
    if (found.length > limit) found.pop();
  }
  return found;
}

function compare([word, clicks]: readonly [Word, number], [other, more]: readonly [Word, number]): number {
  return more - clicks || rank(word) - rank(other);
}

/** The last edge that is not later; -1 before the first, the number of the last edge behind it. */
function findBucket(edges: readonly number[], atMs: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((edges[middle] as number) <= atMs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Among equals the one that was seen first. */
function rank(word: Word): number {
  return typeof word === 'number' ? word : Number.MAX_SAFE_INTEGER;
}
