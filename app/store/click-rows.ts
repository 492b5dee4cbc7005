/** What stands in the tables of clicks for what. Numbers that were released never change their meaning. */

import { CLICK_REASONS, type ClickReason } from '../clicks/click.ts';

export const REASON_NUMBERS: Readonly<Record<ClickReason, number>> = {
  human: 1,
  bot: 2,
  preview: 3,
  prefetch: 4,
  repeat: 5,
};

const REASONS = new Map(CLICK_REASONS.map((reason) => [REASON_NUMBERS[reason], reason]));

/** Of a number that stands in a table. */
export function toReason(number: number): ClickReason {
  return REASONS.get(number) as ClickReason;
}

/** Kinds of words, and at the same time of breakdowns; `agent` is none of the latter. */
export const WORD_KINDS = {
  agent: 1,
  referrer: 2,
  language: 3,
  country: 4,
  browser: 5,
  os: 6,
  device: 7,
} as const;
export type WordKind = keyof typeof WORD_KINDS;
/** Those that clicks name. */
export const CLICK_WORD_KINDS = ['agent', 'referrer', 'language', 'country'] as const;
export type ClickWordKind = (typeof CLICK_WORD_KINDS)[number];
/** Texts of a kind: at most 120 MB of agents. Processes that store or ship at once may make somewhat more. */
export const WORDS_OF_KIND_MAX = 200_000;

/**
 * Kinds of figures of a link (migrations/clicks-001.ts), in the order in which they lie; breakdowns have the numbers of their
 * words and lie between `total` and `quarter`.
 */
export const FIGURE_KINDS = { total: 0, quarter: 8, day: 9, visitors: 10, click: 11 } as const;

/** Every text that came once its kind was full: whoever sends a new header with each request must not fill the disk. */
export const OTHER_WORD = 0;

/** Sequences of one segment: a click's id is segment · 2³² + sequence, which leaves 2²¹ segments that JavaScript can count. */
export const SEGMENT_SIZE = 2 ** 32;

/** Stands for all links together. */
export const ALL_LINKS = 0;

/** Quarters of an hour, because every time zone in use is whole quarters away from UTC. */
export const QUARTERS_OF_DAY = 96;
