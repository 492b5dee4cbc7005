/**
 * The storage port of single clicks, for lists and exports. Who a visitor was is no part of it, not even as a number: two
 * clicks of one person cannot be told from those of two.
 */

import type { ClickReason } from '../clicks/click.ts';

export interface LoggedClick {
  readonly id: number;
  readonly atMs: number;
  readonly reason: ClickReason;
  readonly referrer: string | null;
  readonly country: string | null;
  readonly browser: string | null;
  readonly os: string | null;
  readonly device: string | null;
  readonly language: string | null;
}

export interface ClickPageQuery {
  readonly linkId: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly order: 'newest' | 'oldest';
  readonly limit: number;
  /** Behind it in the order; null: from the beginning. */
  readonly after: Pick<LoggedClick, 'atMs' | 'id'> | null;
}

export interface ClickLog {
  /** At most `limit`, as long as single clicks are kept. */
  listClicks(query: ClickPageQuery): Promise<LoggedClick[]>;
}
