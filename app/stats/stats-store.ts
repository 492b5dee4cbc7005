/**
 * The storage port of statistics. What it reads may be long, so it hands over what it finds bit by bit, and gives way to
 * redirects in between.
 */

import type { ClickReason } from '../clicks/click.ts';
import type { ReadingPlan, TimeRange } from './plan.ts';

/** Whose clicks: those of one link, of the links that have a tag now, or all. */
export type Scope = { readonly linkId: number } | { readonly tag: string } | 'all';

export const BREAKDOWNS = ['referrer', 'country', 'browser', 'os', 'device', 'language'] as const;
export type Breakdown = (typeof BREAKDOWNS)[number];

/** The number of a text. `other`: there were more texts than are kept · null: not known, or none. */
export type Word = number | 'other' | null;

export interface ClickSink {
  click(atMs: number, reason: ClickReason): void;
}

export interface TierSink {
  /** Clicks from `atMs` on, up to the next edge at most. */
  count(atMs: number, reason: ClickReason, clicks: number): void;
  /** Clicks of the days that are read which are in no run. */
  countBeside(reason: ClickReason, clicks: number): void;
  /** Clicks of a day of UTC of which no more is known than that. Days are counted since the epoch. */
  countDay(day: number, reason: ClickReason, clicks: number): void;
  /** Clicks of the days that are read; those without a word are not handed over. */
  detail(breakdown: Breakdown, word: Exclude<Word, null>, reason: ClickReason, clicks: number): void;
  /** The sketch of the visitors of a link on a day. */
  visitors(day: number, sketch: Uint8Array): void;
}

/** `too_many`: there are more clicks than `clicksMax`; `gone`: some are older than single clicks are kept. */
export type ClicksOutcome = 'read' | 'too_many' | 'gone';

export interface StatsStore {
  /** Single clicks in the ranges. What was handed over counts only when all could be read. */
  readClicks(
    scope: Scope,
    ranges: readonly TimeRange[],
    clicksMax: number,
    sink: ClickSink,
  ): Promise<ClicksOutcome>;
  /** All quarters of the days from `fromDay` to before `toDay`, those of the plan's runs apart; and what is counted by day. */
  readTiers(
    scope: Scope,
    runs: ReadingPlan['runs'],
    days: { readonly fromDay: number; readonly toDay: number },
    sink: TierSink,
  ): Promise<void>;
  readWords(ids: readonly number[]): Promise<ReadonlyMap<number, string>>;
}
