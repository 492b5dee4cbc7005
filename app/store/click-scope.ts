/**
 * Whose clicks a statistic reads, in portions that a statement may read at once: links with few clicks together, a link with
 * many by itself.
 */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../kernel/portions.ts';
import type { Scope } from '../stats/stats-store.ts';
import { ALL_LINKS } from './click-rows.ts';
import type { Dialect } from './dialect.ts';
import type { Reading } from './reading.ts';
import type { Tables } from './tables.ts';

export interface LinkPortion {
  readonly ids: readonly number[];
  /** One link, with more rows than one statement may read. */
  readonly isHeavy: boolean;
}

export interface LinkWeight {
  readonly id: number;
  /** At least as many as it has rows of one tier. */
  readonly clicks: number;
}

export interface ScopeDeps {
  readonly links: Kysely<Tables>;
  /** For what is read of links: their file is not that of clicks, and neither are its failures. */
  readonly readingLinks: Reading;
  readonly clicks: Kysely<Tables>;
  readonly dialect: Dialect;
}

/** Links looked at by one statement: about 2 ms. */
export const LINKS_MAX = 1000;
/** Clicks of the links of one portion; they have at most six times as many rows of details: about 5 ms. */
const CLICKS_MAX = 1000;

export async function* listPortions(deps: ScopeDeps, scope: Scope): AsyncGenerator<LinkPortion> {
  for await (const ids of listIds(deps, scope)) {
    yield* toPortions(await weigh(deps, ids));
    await nextTurn();
  }
}

/** Links without clicks are in no portion. */
export function* toPortions(weights: readonly LinkWeight[]): Generator<LinkPortion> {
  let ids: number[] = [];
  let sum = 0;
  for (const { id, clicks } of weights) {
    if (clicks > CLICKS_MAX) {
      yield { ids: [id], isHeavy: true };
      continue;
    }
    if (sum + clicks > CLICKS_MAX) {
      yield { ids, isHeavy: false };
      ids = [];
      sum = 0;
    }
    ids.push(id);
    sum += clicks;
  }
  if (ids.length > 0) yield { ids, isHeavy: false };
}

async function* listIds(deps: ScopeDeps, scope: Scope): AsyncGenerator<number[]> {
  if (scope === 'all') yield [ALL_LINKS];
  else if ('linkId' in scope) yield [scope.linkId];
  else yield* listTagged(deps, scope.tag);
}

async function* listTagged({ links, readingLinks }: ScopeDeps, tag: string): AsyncGenerator<number[]> {
  let after = 0;
  for (;;) {
    const rows = await readingLinks(
      links
        .selectFrom('link_tags')
        .select('link_id')
        .where('tag', '=', tag)
        .where('link_id', '>', after)
        .orderBy('link_id')
        .limit(LINKS_MAX)
        .execute(),
    );
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows.map(({ link_id: id }) => id);
    after = last.link_id;
  }
}

async function weigh({ clicks, dialect }: ScopeDeps, ids: readonly number[]): Promise<LinkWeight[]> {
  const { rows } = await sql<{ link_id: number; clicks: number | string }>`
    select link_id, sum(clicks) as clicks from click_totals
    where link_id in ${dialect.idsIn(ids)} group by link_id`.execute(clicks);
  return rows.map((row) => ({ id: row.link_id, clicks: Number(row.clicks) }));
}
