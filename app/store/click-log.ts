/** Single clicks of a link over Kysely, in the order of time. */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../kernel/portions.ts';
import type { ClickLog, ClickPageQuery, LoggedClick } from '../stats/click-log.ts';
import { OTHER_VALUE } from '../stats/read-stats.ts';
import { OTHER_WORD, toReason } from './click-rows.ts';
import { readWords } from './click-texts.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import type { Tables } from './tables.ts';

export interface ClickLogDeps {
  /** Throws AppError unavailable while clicks cannot be read. */
  readonly clicks: () => Kysely<Tables>;
  readonly dialect: Dialect;
}

const WORD_COLUMNS = ['referrer', 'country', 'browser', 'os', 'device', 'language'] as const;
type WordColumn = (typeof WORD_COLUMNS)[number];

type Row = { id: number; at_ms: number; reason: number } & Record<WordColumn, number | null>;

export function createClickLog({ clicks, dialect }: ClickLogDeps): ClickLog {
  const reading = createReading(dialect);
  return {
    async listClicks(query) {
      const db = clicks();
      const rows = await reading(selectRows(db, query));
      const ids = new Set(rows.flatMap((row) => WORD_COLUMNS.map((column) => row[column] ?? OTHER_WORD)));
      const texts = await reading(readWords(db, dialect, [...ids]));
      await nextTurn();
      return rows.map((row) => toClick(row, texts));
    },
  };
}

async function selectRows(db: Kysely<Tables>, query: ClickPageQuery): Promise<Row[]> {
  const { linkId, fromMs, toMs, order, limit, after } = query;
  const isNewest = order === 'newest';
  const direction = isNewest ? sql`desc` : sql`asc`;
  const operator = isNewest ? sql`<` : sql`>`;
  const isBehind = after && sql`(at_ms, click_id) ${operator} (${after.atMs}, ${after.id})`;
  // In place of the range's own end: beside it SQLite would walk to the position from there.
  const isLateEnough = (!isNewest && isBehind) || sql`at_ms >= ${fromMs}`;
  const isEarlyEnough = (isNewest && isBehind) || sql`at_ms < ${toMs}`;
  // Whatever the joins are, no more than a page of the index is read.
  const { rows } = await sql<Row>`
    select clicks.id, clicks.at_ms, clicks.reason, clicks.referrer, clicks.country, clicks.language,
      agents.browser, agents.os, agents.device
    from (
      select at_ms, click_id from click_index
      where link_id = ${linkId} and ${isLateEnough} and ${isEarlyEnough}
      order by at_ms ${direction}, click_id ${direction} limit ${limit}
    ) as page
    join clicks on clicks.id = page.click_id left join agents on agents.id = clicks.agent
    order by page.at_ms ${direction}, page.click_id ${direction}`.execute(db);
  return rows;
}

function toClick(row: Row, texts: ReadonlyMap<number, string>): LoggedClick {
  const textOf = (column: WordColumn): string | null => {
    const word = row[column];
    if (word === OTHER_WORD) return OTHER_VALUE;
    return word === null ? null : (texts.get(word) ?? null);
  };
  return {
    id: row.id,
    atMs: row.at_ms,
    reason: toReason(row.reason),
    referrer: textOf('referrer'),
    country: textOf('country'),
    browser: textOf('browser'),
    os: textOf('os'),
    device: textOf('device'),
    language: textOf('language'),
  };
}
