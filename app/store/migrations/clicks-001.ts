/**
 * The first schema of clicks, in three tiers: every click (`clicks`), counts by quarter of an hour (`click_quarters`) and counts
 * by day (`click_days`). Clicks are counted about a second after they are stored and not when they are thrown away, so that no
 * total depends on whether its rows are still there.
 */

import { sql } from 'kysely';
import { BREAKDOWNS } from '../../stats/stats-store.ts';
import { FIGURE_KINDS, WORD_KINDS } from '../click-rows.ts';
import type { Migration } from './migration.ts';
import { createNamedNumbers } from './named-numbers.ts';

// In the text of a view nothing can be bound.
const TOTAL = sql.lit(FIGURE_KINDS.total);
const BREAKDOWN_KINDS = sql.join(BREAKDOWNS.map((breakdown) => sql.lit(WORD_KINDS[breakdown])));
const QUARTER = sql.lit(FIGURE_KINDS.quarter);
const DAY = sql.lit(FIGURE_KINDS.day);
const VISITORS = sql.lit(FIGURE_KINDS.visitors);
const CLICK = sql.lit(FIGURE_KINDS.click);

export const clicksMigration: Migration = {
  version: 1,
  readableFrom: 1,
  async up(db, dialect) {
    const { clustered } = dialect;

    // One start of one process that stores clicks. `folded_to`: its clicks up to this sequence are counted in the tiers below.
    // Those behind it up to `batch_to` are on the way, in `slices` slices: `stage` of their stages (click-fold.ts) are done, 0:
    // there are none.
    // `folded` is how many are in the totals, `removed` how many of them have no row any more. `seen_at_ms`: when the process last said
    // that it lives; `is_over`: it does not, and all its clicks are counted.
    await db.schema
      .createTable('segments')
      .addColumn('id', dialect.idType, dialect.idColumn)
      .addColumn('name', 'text', (column) => column.notNull().unique())
      .addColumn('started_at_ms', 'bigint', (column) => column.notNull())
      .addColumn('folded_to', 'bigint', (column) => column.notNull())
      .addColumn('batch_to', 'bigint', (column) => column.notNull().defaultTo(0))
      .addColumn('stage', 'integer', (column) => column.notNull().defaultTo(0))
      .addColumn('slices', 'integer', (column) => column.notNull().defaultTo(0))
      .addColumn('folded', 'bigint', (column) => column.notNull().defaultTo(0))
      .addColumn('removed', 'bigint', (column) => column.notNull().defaultTo(0))
      .addColumn('seen_at_ms', 'bigint', (column) => column.notNull().defaultTo(0))
      .addColumn('is_over', 'integer', (column) => column.notNull().defaultTo(0))
      .execute();

    // Written while a visitor waits, so it has no index but its key, which only grows: 1.3 µs a row, against 12 with an index by
    // link. The id is segment · 2³² + sequence; agent, referrer, language and country are numbers of `words`.
    await db.schema
      .createTable('clicks')
      .addColumn('id', dialect.numberType, (column) => column.primaryKey())
      .addColumn('link_id', 'bigint', (column) => column.notNull())
      .addColumn('at_ms', 'bigint', (column) => column.notNull())
      .addColumn('reason', 'integer', (column) => column.notNull())
      .addColumn('visitor', 'bigint')
      .addColumn('agent', 'bigint')
      .addColumn('referrer', 'bigint')
      .addColumn('language', 'bigint')
      .addColumn('country', 'bigint')
      .execute();

    // Texts that many clicks share. 0 stands for all that came once the table was full.
    await db.schema
      .createTable('words')
      .addColumn('id', dialect.idType, dialect.idColumn)
      .addColumn('kind', 'integer', (column) => column.notNull())
      .addColumn('text', 'text', (column) => column.notNull())
      .addUniqueConstraint('words_by_text', ['kind', 'text'])
      .execute();

    // What an agent is, as numbers of `words`; made when its first click is counted.
    await db.schema
      .createTable('agents')
      .addColumn('id', dialect.numberType, (column) => column.primaryKey())
      .addColumn('browser', 'bigint')
      .addColumn('os', 'bigint')
      .addColumn('device', 'bigint')
      .execute();

    // How much of a link's `max_clicks` is used; the row is made by the first click.
    await db.schema
      .createTable('quotas')
      .addColumn('link_id', dialect.numberType, (column) => column.primaryKey())
      .addColumn('used', 'bigint', (column) => column.notNull())
      .execute();

    // The salt that visitors are hashed with, by day; only that of today and of a day that is being closed.
    await db.schema
      .createTable('salts')
      .addColumn('day', dialect.numberType, (column) => column.primaryKey())
      .addColumn('salt', 'text', (column) => column.notNull())
      .execute();

    // `made_at_seq`: the last change of links when this file was made. What was used of a quota set before it is not known.
    // `kept_from_ms`: rows of `clicks` before it are gone, or going; it is raised before they are.
    // `purged_to_seq`: the clicks of links purged up to this change are gone; `purged_again_to_seq`: and those that came late.
    // `purged_clicks`: how many they were. `night_of_day`: the last day whose nightly work is done.
    await createNamedNumbers(db, 'click_state');

    // Who does a piece of work that only one process may do at a time, and until when others leave it to him.
    await db.schema
      .createTable('leases')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('holder', 'text', (column) => column.notNull())
      .addColumn('until_ms', 'bigint', (column) => column.notNull())
      .execute();

    // Everything that is kept of a link's clicks beside their rows, side by side: clicks of a link change about ten figures,
    // and each page that is changed costs more than what changes on it (measured: 120 µs a click with a table for each kind of
    // figure, 33 with one for all). Link 0 stands for all links together. What `at` and `word` are depends on the kind; the
    // views below say it.
    await db.schema
      .createTable('click_figures')
      .addColumn('link_id', 'bigint', (column) => column.notNull())
      .addColumn('kind', 'integer', (column) => column.notNull())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .addColumn('word', 'bigint', (column) => column.notNull())
      .addColumn('reason', 'integer', (column) => column.notNull())
      .addColumn('clicks', 'bigint', (column) => column.notNull())
      .addColumn('sketch', dialect.bytesType)
      .addPrimaryKeyConstraint('click_figures_pk', ['link_id', 'kind', 'at', 'word', 'reason'])
      .modifyEnd(clustered)
      .execute();
    // Quarters that are old enough to be days.
    await sql`create index click_quarters_by_time on click_figures (at) where kind = ${QUARTER}`.execute(db);

    // GET /links/:key/clicks, and everything that reads the clicks of one link.
    await sql`create view click_index as
      select link_id, at as at_ms, word as click_id from click_figures where kind = ${CLICK}`.execute(db);
    // `clicks` of a link, for pages of links.
    await sql`create view click_totals as
      select link_id, reason, clicks from click_figures where kind = ${TOTAL}`.execute(db);
    // Series of one link. Quarters, because every time zone in use is whole quarters away from UTC; numbered since the epoch.
    await sql`create view click_quarters as
      select link_id, at as quarter, reason, clicks from click_figures where kind = ${QUARTER}`.execute(db);
    // Days of UTC whose quarters are gone. Kept for ever.
    await sql`create view click_days as
      select link_id, at as day, reason, clicks from click_figures where kind = ${DAY}`.execute(db);
    // What clicks of a day have in common: kind is a breakdown (referrer, country, browser …), word a number of `words`. A click
    // that says nothing of a kind has no row: the rest of the day's clicks.
    await sql`create view click_details as
      select link_id, at as day, reason, kind, word, clicks from click_figures
      where kind in (${BREAKDOWN_KINDS})`.execute(db);
    // How many visitors a day had: a sketch, since who they were is forgotten.
    await sql`create view click_visitors as
      select link_id, at as day, sketch from click_figures where kind = ${VISITORS}`.execute(db);

    // GET /unknown-keys: keys that somebody followed and that no link has, by day of UTC. Few a day, and days are thrown away.
    await db.schema
      .createTable('unknown_keys')
      .addColumn('day', 'integer', (column) => column.notNull())
      .addColumn('key', dialect.keyType, (column) => column.notNull())
      .addColumn('hits', 'bigint', (column) => column.notNull())
      .addColumn('last_seen_ms', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('unknown_keys_pk', ['day', 'key'])
      .modifyEnd(clustered)
      .execute();

    // The share of redirects that were answered well and in time, by minute: what an error budget is made of.
    await db.schema
      .createTable('sli_minutes')
      .addColumn('minute', dialect.numberType, (column) => column.primaryKey())
      .addColumn('good', 'bigint', (column) => column.notNull())
      .addColumn('total', 'bigint', (column) => column.notNull())
      .execute();
  },
};
