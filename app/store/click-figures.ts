/** What is kept of a link's clicks beside their rows: how figures are added to those that are there. */

import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Tables } from './tables.ts';

/** A select with the columns link_id, kind, at, word, reason and clicks; clicks below 0 are taken out. */
export type Figures = RawBuilder<unknown>;

/** In the order in which they lie: each page is changed once. */
export async function addFigures(db: Kysely<Tables>, figures: readonly Figures[]): Promise<void> {
  await sql`
    insert into click_figures (link_id, kind, at, word, reason, clicks)
    select * from (${sql.join(figures, sql` union all `)}) as figures where true order by 1, 2, 3, 4, 5
    on conflict (link_id, kind, at, word, reason) do update set clicks = click_figures.clicks + excluded.clicks`.execute(
    db,
  );
}
