/**
 * Reads what is stored of clicks under the rules of today. What changes is the reason, in the click's row and in all figures that
 * it is counted in; only sketches of visitors keep whom they have, as nothing can be taken out of them. Each call is one
 * transaction of at most `rowsMax` rows, and reading a click a second time changes nothing, so it may end anywhere.
 */

import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { ClickReason } from '../clicks/click.ts';
import type { ReclassifiedPortion, ReclassifyRange } from '../clicks/click-tiers.ts';
import { DAY_MS } from '../clicks/visitor.ts';
import { QUARTER_MS } from '../stats/plan.ts';
import { addFigures } from './click-figures.ts';
import { CHANGED_FIGURES, countVisitors, mergeLinks, openFolding } from './click-fold.ts';
import { REASON_NUMBERS, SEGMENT_SIZE, toReason } from './click-rows.ts';
import type { Dialect } from './dialect.ts';
import type { Tables } from './tables.ts';

/** Clicks that one transaction moves from one reason to another: each is counted four times, about 5 ms in all. */
const CHANGES_MAX = 50;

interface Change {
  readonly id: number;
  readonly from: ClickReason;
  readonly to: ClickReason;
}

export async function reclassify(
  db: Kysely<Tables>,
  dialect: Dialect,
  { segment, after, rowsMax, isDryRun, judge }: ReclassifyRange & { readonly rowsMax: number },
): Promise<ReclassifiedPortion> {
  const base = segment * SEGMENT_SIZE;
  const { rows } = await sql<{ id: number; reason: number; agent: string | null }>`
    select clicks.id, clicks.reason, words.text as agent
    from segments join clicks on clicks.id > ${base + after} and clicks.id <= ${base} + segments.folded_to
      left join words on words.id = clicks.agent
    where segments.id = ${segment} order by clicks.id limit ${rowsMax}`.execute(db);
  const changes: Change[] = [];
  let read = 0;
  for (const { id, reason, agent } of rows) {
    if (changes.length === CHANGES_MAX) break;
    read++;
    const from = toReason(reason);
    const to = agent === null ? from : judge(agent, from);
    if (to !== from) changes.push({ id, from, to });
  }
  if (changes.length > 0 && !isDryRun) await apply(db, dialect, changes);
  const last = rows[read - 1];
  return { read, last: last === undefined ? null : last.id - base, changes };
}

async function apply(db: Kysely<Tables>, dialect: Dialect, changes: readonly Change[]): Promise<void> {
  const changed = dialect.rowsOf(
    { id: 'number', reason: 'number' },
    changes.map(({ id, to }) => [id, REASON_NUMBERS[to]]),
  );
  await openFolding(db, dialect);
  await layOut(
    db,
    sql`(select id, reason from clicks where id in (select id from ${changed} as changed))`,
    -1,
  );
  await layOut(db, changed, 1);
  await recount(db, dialect);
  await mergeLinks(db);
  await recount(db, dialect);
  await sql`
    update clicks set reason = (select changed.reason from ${changed} as changed where changed.id = clicks.id)
    where id in (select id from ${changed} as changed)`.execute(db);
}

/** Clicks with a reason each, counted `times`. */
async function layOut(db: Kysely<Tables>, reasons: RawBuilder<unknown>, times: number): Promise<void> {
  await sql`
    insert into folding
    select clicks.id, clicks.link_id, clicks.at_ms, reasons.reason, visitor, null, clicks.at_ms / ${sql.lit(DAY_MS)}, referrer, language, country, browser, os, device, ${times}
    from ${reasons} as reasons join clicks on clicks.id = reasons.id left join agents on agents.id = clicks.agent`.execute(
    db,
  );
}

async function recount(db: Kysely<Tables>, dialect: Dialect): Promise<void> {
  await chooseTiers(db);
  await addFigures(db, CHANGED_FIGURES);
  await sql`
    delete from click_figures where clicks = 0 and (link_id, kind, at, word, reason) in
      (select link_id, kind, at, word, reason from (${sql.join(CHANGED_FIGURES, sql` union all `)}) as figures)`.execute(
    db,
  );
  await countVisitors(db, dialect);
}

/**
 * A click is taken from where it is counted and put back there: its quarter of an hour, or its day where that is a part of it
 * already. All links together may be further than a link, when a roll-up has ended half-way.
 */
async function chooseTiers(db: Kysely<Tables>): Promise<void> {
  await sql`
    update folding set quarter =
      (select click_quarters.quarter from click_quarters join clicks on clicks.reason = click_quarters.reason
        where clicks.id = folding.id and click_quarters.link_id = folding.link_id
          and click_quarters.quarter = folding.at_ms / ${sql.lit(QUARTER_MS)})`.execute(db);
}
