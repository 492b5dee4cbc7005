/** What clicks.db holds, read by itself and in words: for tests that hold it against a recount of their own. */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import { CLICK_REASONS, type Click, type ClickReason } from '../../app/clicks/click.ts';
import { countVisitors } from '../../app/clicks/sketch.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import { QUARTERS_OF_DAY, REASON_NUMBERS, WORD_KINDS } from '../../app/store/click-rows.ts';

/** Counts by `link reason`, `link day reason`, `link day reason kind word`, and visitors by `link day`. */
export interface TierCounts {
  readonly totals: Record<string, number>;
  readonly days: Record<string, number>;
  readonly details: Record<string, number>;
  readonly visitors: Record<string, number>;
}

export function openClicks(dataDir: string): Database.Database {
  return new Database(join(dataDir, 'clicks.db'));
}

export function readTiers(dataDir: string): TierCounts {
  const db = openClicks(dataDir);
  try {
    const days = db.prepare<[], [number, number, number, number]>(
      `select link_id, day, reason, sum(clicks) from
        (select link_id, quarter / ${QUARTERS_OF_DAY} as day, reason, clicks from click_quarters
          union all select link_id, day, reason, clicks from click_days)
       group by 1, 2, 3 having sum(clicks) <> 0`,
    );
    const totals = db.prepare<[], [number, number, number]>('select * from click_totals');
    const details = db.prepare<[], [number, number, number, number, string, number]>(
      `select link_id, day, reason, click_details.kind, coalesce(text, 'other'), clicks
       from click_details left join words on words.id = word`,
    );
    const visitors = db.prepare<[], [number, number, Uint8Array]>('select * from click_visitors');
    return {
      totals: toRecord(totals.raw().all(), ([link, reason, clicks]) => [[link, REASONS.get(reason)], clicks]),
      days: toRecord(days.raw().all(), ([link, day, reason, clicks]) => [
        [link, day, REASONS.get(reason)],
        clicks,
      ]),
      details: toRecord(details.raw().all(), ([link, day, reason, kind, word, clicks]) => [
        [link, day, REASONS.get(reason), KINDS.get(kind), word],
        clicks,
      ]),
      visitors: toRecord(visitors.raw().all(), ([link, day, sketch]) => [[link, day], countVisitors(sketch)]),
    };
  } finally {
    db.close();
  }
}

const REASONS = new Map<number, string>(CLICK_REASONS.map((reason) => [REASON_NUMBERS[reason], reason]));
const KINDS = new Map<number, string>(Object.entries(WORD_KINDS).map(([kind, number]) => [number, kind]));

function toRecord<T>(rows: readonly T[], read: (row: T) => [unknown[], number]): Record<string, number> {
  return Object.fromEntries(
    rows.map((row) => {
      const [key, value] = read(row);
      return [key.join(' '), value];
    }),
  );
}

/** What the words of an agent mean, for the agents that a test sends. */
export type AgentWords = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** The same counts, made the slow and simple way. */
export function recount(clicks: readonly Click[], agents: AgentWords): TierCounts {
  const totals: Record<string, number> = {};
  const days: Record<string, number> = {};
  const details: Record<string, number> = {};
  const people: Record<string, Set<number>> = {};
  const add = (counts: Record<string, number>, ...key: unknown[]) => {
    counts[key.join(' ')] = (counts[key.join(' ')] ?? 0) + 1;
  };
  for (const click of clicks) {
    const { reason, visitor, referrer, language, country, agent } = click;
    const day = Math.floor(click.atMs / DAY_MS);
    const words = { referrer, language, country, ...agents[agent ?? ''] };
    for (const link of [click.linkId, 0]) {
      add(totals, link, reason);
      add(days, link, day, reason);
      for (const [kind, word] of Object.entries(words)) {
        if (word !== null) add(details, link, day, reason, kind, word);
      }
      if (reason === 'human' && visitor !== null) {
        const key = `${link} ${day}`;
        people[key] ??= new Set();
        people[key].add(visitor);
      }
    }
  }
  const visitors = Object.fromEntries(Object.entries(people).map(([key, { size }]) => [key, size]));
  return { totals, days, details, visitors };
}

/** A click of a person who tells nothing. */
export function clickOn(linkId: number, atMs: number, more: Partial<Click> = {}): Click {
  const reason: ClickReason = 'human';
  const nothing = { visitor: null, agent: null, referrer: null, language: null, country: null };
  return { linkId, atMs, reason, ...nothing, ...more };
}
