/**
 * Statistics over Kysely: reads the tiers that clicks are counted into, and single clicks where a tier is too coarse. Each
 * statement reads a bounded number of rows, about 5 ms, and redirects have a turn after it.
 */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../kernel/portions.ts';
import { QUARTER_MS, type Run, type TimeRange } from '../stats/plan.ts';
import {
  BREAKDOWNS,
  type Breakdown,
  type ClickSink,
  type ClicksOutcome,
  type Scope,
  type StatsStore,
  type TierSink,
  type Word,
} from '../stats/stats-store.ts';
import { OTHER_WORD, QUARTERS_OF_DAY, toReason, WORD_KINDS } from './click-rows.ts';
import {
  LINKS_MAX,
  type LinkPortion,
  type LinkWeight,
  listPortions,
  type ScopeDeps,
  toPortions,
} from './click-scope.ts';
import { readState } from './click-state.ts';
import { readWords } from './click-texts.ts';
import type { Dialect } from './dialect.ts';
import { createReading, type Reading } from './reading.ts';
import type { Tables } from './tables.ts';

export interface ClickStatsDeps {
  /** Where links and their tags are. */
  readonly links: Kysely<Tables>;
  readonly readingLinks: Reading;
  /** Where clicks are; throws AppError unavailable while they cannot be read. */
  readonly clicks: () => Kysely<Tables>;
  readonly dialect: Dialect;
}

/** Quarters of one link that one statement adds up: two weeks, at most 6,720 rows. A multiple of every width of cells. */
const QUARTERS_MAX = 1344;
const DAYS_MAX = 1000;
const DETAILS_MAX = 2000;
/** Each with a sketch of some thousand bytes. */
const SKETCHES_MAX = 100;
const CLICK_ROWS_MAX = 2000;

export function createClickStats({ links, readingLinks, clicks, dialect }: ClickStatsDeps): StatsStore {
  const reading = createReading(dialect);
  const open = (): ScopeDeps => ({ links, readingLinks, clicks: clicks(), dialect });

  return {
    readClicks: (scope, ranges, clicksMax, sink) =>
      reading(readClicks(open(), { scope, ranges, clicksMax, sink })),

    readTiers: (scope, runs, days, sink) => reading(readTiers(open(), { scope, runs, days, sink })),

    async readWords(ids) {
      return ids.length === 0 ? new Map() : reading(readWords(clicks(), dialect, ids));
    },
  };
}

interface TierQuestion {
  readonly scope: Scope;
  readonly runs: readonly Run[];
  readonly days: { readonly fromDay: number; readonly toDay: number };
  readonly sink: TierSink;
}

async function readTiers(deps: ScopeDeps, question: TierQuestion): Promise<void> {
  const { scope, runs, days, sink } = question;
  for await (const portion of listPortions(deps, scope)) {
    for (const run of runs) await readRun(deps, portion, run, sink);
    for (const gap of gapsOf(runs, days)) await readGap(deps, portion, gap, sink);
    await readDays(deps, portion, days, sink);
    await (portion.isHeavy ? readDetailsOfOne : readDetails)(deps, portion, days, sink);
    await readSketches(deps, portion, days, sink);
  }
}

/** The parts of a range that a statement may read at once: of few rows all. */
function* partsOf(from: number, to: number, size: number): Generator<[number, number]> {
  for (let start = from; start < to; start += size) yield [start, Math.min(start + size, to)];
}

async function readRun({ clicks, dialect }: ScopeDeps, portion: LinkPortion, run: Run, sink: TierSink) {
  const { fromQuarter, toQuarter, width } = run;
  const size = portion.isHeavy ? QUARTERS_MAX : toQuarter - fromQuarter;
  for (const [from, to] of partsOf(fromQuarter, toQuarter, size)) {
    const { rows } = await sql<{ cell: number; reason: number; clicks: number | string }>`
      select (quarter - ${fromQuarter}) / ${width} as cell, reason, sum(clicks) as clicks from click_quarters
      where link_id in ${dialect.idsIn(portion.ids)} and quarter >= ${from} and quarter < ${to}
      group by 1, 2`.execute(clicks);
    for (const row of rows) {
      const atMs = (fromQuarter + row.cell * width) * QUARTER_MS;
      sink.count(atMs, toReason(row.reason), Number(row.clicks));
    }
    await nextTurn();
  }
}

type Days = TierQuestion['days'];

/** The quarters of whole days that are in no run. */
function gapsOf(runs: readonly Run[], { fromDay, toDay }: Days): [number, number][] {
  const starts = [fromDay * QUARTERS_OF_DAY, ...runs.map(({ toQuarter }) => toQuarter)];
  const ends = [...runs.map(({ fromQuarter }) => fromQuarter), toDay * QUARTERS_OF_DAY];
  return starts
    .map((start, index): [number, number] => [start, ends[index] as number])
    .filter(([start, end]) => start < end);
}

async function readGap(
  { clicks, dialect }: ScopeDeps,
  portion: LinkPortion,
  [fromQuarter, toQuarter]: readonly [number, number],
  sink: TierSink,
) {
  const size = portion.isHeavy ? QUARTERS_MAX : toQuarter - fromQuarter;
  for (const [from, to] of partsOf(fromQuarter, toQuarter, size)) {
    const { rows } = await sql<{ reason: number; clicks: number | string }>`
      select reason, sum(clicks) as clicks from click_quarters
      where link_id in ${dialect.idsIn(portion.ids)} and quarter >= ${from} and quarter < ${to}
      group by reason`.execute(clicks);
    for (const row of rows) sink.countBeside(toReason(row.reason), Number(row.clicks));
    await nextTurn();
  }
}

async function readDays(
  { clicks, dialect }: ScopeDeps,
  portion: LinkPortion,
  { fromDay, toDay }: Days,
  sink: TierSink,
) {
  const size = portion.isHeavy ? DAYS_MAX : toDay - fromDay;
  for (const [from, to] of partsOf(fromDay, toDay, size)) {
    const { rows } = await sql<{ day: number; reason: number; clicks: number | string }>`
      select day, reason, sum(clicks) as clicks from click_days
      where link_id in ${dialect.idsIn(portion.ids)} and day >= ${from} and day < ${to}
      group by day, reason`.execute(clicks);
    for (const row of rows) sink.countDay(row.day, toReason(row.reason), Number(row.clicks));
    await nextTurn();
  }
}

interface DetailRow {
  day: number;
  reason: number;
  kind: number;
  word: number;
  clicks: number | string;
}

async function readDetails(
  { clicks, dialect }: ScopeDeps,
  { ids }: LinkPortion,
  { fromDay, toDay }: Days,
  sink: TierSink,
) {
  const { rows } = await sql<DetailRow>`
    select reason, kind, word, sum(clicks) as clicks from click_details
    where link_id in ${dialect.idsIn(ids)} and day >= ${fromDay} and day < ${toDay}
    group by reason, kind, word`.execute(clicks);
  for (const row of rows) handDetail(row, sink);
  await nextTurn();
}

/** A day may have any number of words, so a link with many clicks is read row by row. */
async function readDetailsOfOne(deps: ScopeDeps, portion: LinkPortion, days: Days, sink: TierSink) {
  for (const breakdown of BREAKDOWNS) await readDetailsOfKind(deps, portion, days, breakdown, sink);
}

async function readDetailsOfKind(
  { clicks }: ScopeDeps,
  { ids }: LinkPortion,
  { fromDay, toDay }: Days,
  breakdown: Breakdown,
  sink: TierSink,
) {
  let after = { day: fromDay, word: 0, reason: 0 };
  for (;;) {
    const { rows } = await sql<DetailRow>`
      select day, reason, kind, word, clicks from click_details
      where link_id = ${ids[0]} and kind = ${WORD_KINDS[breakdown]} and day < ${toDay}
        and (day, word, reason) > (${after.day}, ${after.word}, ${after.reason})
      order by day, word, reason limit ${DETAILS_MAX}`.execute(clicks);
    for (const row of rows) handDetail(row, sink);
    await nextTurn();
    const last = rows.at(-1);
    if (last === undefined || rows.length < DETAILS_MAX) return;
    after = last;
  }
}

function handDetail(row: Omit<DetailRow, 'day'>, sink: TierSink): void {
  sink.detail(
    BREAKDOWN_BY_KIND.get(row.kind) as Breakdown,
    toWord(row.word),
    toReason(row.reason),
    Number(row.clicks),
  );
}

async function readSketches(
  { clicks, dialect }: ScopeDeps,
  portion: LinkPortion,
  { fromDay, toDay }: Days,
  sink: TierSink,
) {
  const size = portion.isHeavy ? SKETCHES_MAX : toDay - fromDay;
  for (const [from, to] of partsOf(fromDay, toDay, size)) {
    const rows = await clicks
      .selectFrom('click_visitors')
      .select(['day', 'sketch'])
      .where(sql<boolean>`link_id in ${dialect.idsIn(portion.ids)}`)
      .where('day', '>=', from)
      .where('day', '<', to)
      .execute();
    for (const { day, sketch } of rows) sink.visitors(day, sketch);
    await nextTurn();
  }
}

interface ClickQuestion {
  readonly scope: Scope;
  readonly ranges: readonly TimeRange[];
  readonly clicksMax: number;
  readonly sink: ClickSink;
}

async function readClicks(deps: ScopeDeps, question: ClickQuestion): Promise<ClicksOutcome> {
  const { scope, ranges, clicksMax, sink } = question;
  const earliestMs = Math.min(...ranges.map(({ fromMs }) => fromMs));
  if (earliestMs < (await readKeptFromMs(deps))) return 'gone';
  let count = 0;
  const portions = scope === 'all' ? listAllPortions(deps, ranges) : listEach(deps, scope, ranges);
  for await (const { portion, range } of portions) {
    for await (const rows of readRange(deps, portion, range)) {
      for (const { at_ms: atMs, reason } of rows) sink.click(atMs, toReason(reason));
      count += rows.length;
      if (count > clicksMax) return 'too_many';
      await nextTurn();
    }
  }
  // They may have begun to go meanwhile.
  return earliestMs < (await readKeptFromMs(deps)) ? 'gone' : 'read';
}

async function readKeptFromMs({ clicks }: ScopeDeps): Promise<number> {
  return (await readState(clicks, 'kept_from_ms')) ?? 0;
}

interface ClickPortion {
  readonly portion: LinkPortion;
  readonly range: TimeRange;
}

async function* listEach(
  deps: ScopeDeps,
  scope: Scope,
  ranges: readonly TimeRange[],
): AsyncGenerator<ClickPortion> {
  for await (const portion of listPortions(deps, scope)) {
    for (const range of ranges) yield { portion, range };
  }
}

/** Single clicks can be found by link alone, so each quarter says first which links it has. */
async function* listAllPortions(deps: ScopeDeps, ranges: readonly TimeRange[]): AsyncGenerator<ClickPortion> {
  for (const range of ranges) {
    const lastQuarter = Math.ceil(range.toMs / QUARTER_MS);
    for (let quarter = Math.floor(range.fromMs / QUARTER_MS); quarter < lastQuarter; quarter++) {
      const fromMs = Math.max(range.fromMs, quarter * QUARTER_MS);
      const toMs = Math.min(range.toMs, (quarter + 1) * QUARTER_MS);
      for await (const weights of listLinksOfQuarter(deps, quarter)) {
        for (const portion of toPortions(weights)) yield { portion, range: { fromMs, toMs } };
      }
    }
  }
}

async function* listLinksOfQuarter({ clicks }: ScopeDeps, quarter: number): AsyncGenerator<LinkWeight[]> {
  let after = 0;
  for (;;) {
    const { rows } = await sql<{ link_id: number; clicks: number | string }>`
      select link_id, sum(clicks) as clicks from click_quarters
      where quarter = ${quarter} and link_id > ${after}
      group by link_id order by link_id limit ${LINKS_MAX}`.execute(clicks);
    await nextTurn();
    yield rows.map((row) => ({ id: row.link_id, clicks: Number(row.clicks) }));
    const last = rows.at(-1);
    if (last === undefined || rows.length < LINKS_MAX) return;
    after = last.link_id;
  }
}

interface ClickRow {
  at_ms: number;
  click_id: number;
  reason: number;
}

async function* readRange(
  deps: ScopeDeps,
  portion: LinkPortion,
  range: TimeRange,
): AsyncGenerator<ClickRow[]> {
  if (portion.isHeavy) yield* readRangeOfOne(deps, portion.ids[0] as number, range);
  else yield await readRangeOfAll(deps, portion.ids, range);
}

async function readRangeOfAll(
  { clicks, dialect }: ScopeDeps,
  ids: readonly number[],
  range: TimeRange,
): Promise<ClickRow[]> {
  const { rows } = await sql<ClickRow>`
    select click_index.at_ms, click_id, reason from click_index join clicks on clicks.id = click_id
    where click_index.link_id in ${dialect.idsIn(ids)}
      and click_index.at_ms >= ${range.fromMs} and click_index.at_ms < ${range.toMs}`.execute(clicks);
  return rows;
}

async function* readRangeOfOne(
  { clicks }: ScopeDeps,
  id: number,
  { fromMs, toMs }: TimeRange,
): AsyncGenerator<ClickRow[]> {
  let after = { at_ms: fromMs, click_id: 0 };
  for (;;) {
    const { rows } = await sql<ClickRow>`
      select click_index.at_ms, click_id, reason from click_index join clicks on clicks.id = click_id
      where click_index.link_id = ${id} and click_index.at_ms < ${toMs}
        and (click_index.at_ms, click_id) > (${after.at_ms}, ${after.click_id})
      order by click_index.at_ms, click_id limit ${CLICK_ROWS_MAX}`.execute(clicks);
    yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < CLICK_ROWS_MAX) return;
    after = last;
  }
}

const BREAKDOWN_BY_KIND: ReadonlyMap<number, Breakdown> = new Map(
  BREAKDOWNS.map((breakdown) => [WORD_KINDS[breakdown], breakdown]),
);

function toWord(word: number): Exclude<Word, null> {
  return word === OTHER_WORD ? 'other' : word;
}
