/**
 * What a click is: one redirect that was answered, with the reason it counts under and as little detail as statistics need.
 * No address is part of it.
 */

/**
 * `bot`: a program that says so · `preview`: a messenger or a network that fetches a link to show what is behind it ·
 * `prefetch`: a browser that loads ahead of its user · `repeat`: the same visitor on the same link again within seconds ·
 * `human`: everybody else.
 */
export const CLICK_REASONS = ['human', 'bot', 'preview', 'prefetch', 'repeat'] as const;
export type ClickReason = (typeof CLICK_REASONS)[number];

/** Redirects that are served and not stored. `own`: the operator's own test requests, signed. */
export const EXCLUSIONS = ['head', 'own'] as const;
export type Exclusion = (typeof EXCLUSIONS)[number];

export interface Click {
  /** A link's clicks belong to its id, which outlives its key. */
  readonly linkId: number;
  readonly atMs: number;
  readonly reason: ClickReason;
  /** 48 bits of a hash under the day's salt: the same visitor on the same day, and nobody any more on the next. */
  readonly visitor: number | null;
  /** The User-Agent header, cut to `AGENT_LENGTH_MAX`. */
  readonly agent: string | null;
  /** The host of the page that led here. */
  readonly referrer: string | null;
  /** The first language that the browser asks for, such as `de`. */
  readonly language: string | null;
  /** ISO 3166-1 alpha-2, such as `DE`. */
  readonly country: string | null;
}

export const AGENT_LENGTH_MAX = 300;
