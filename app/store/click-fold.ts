/**
 * Counts stored clicks into the tiers. A batch is a range of ids of one segment behind its watermark; it goes through stages,
 * each a transaction that also notes down that it is done. So each click is counted once, whoever tries and whenever he is
 * killed, and a batch is large although no transaction is long. The more clicks of a link are counted together, the fewer pages
 * are written, which is most of the work: so stages are slices of the links.
 *
 *   find a batch ─▶ describe agents that are new ─▶ all links together: totals · what clicks say · what agents say ─▶
 *   link by link: slice 1 ─▶ slice 2 ─▶ … ─▶ the watermark moves
 *
 * Everything but the sketches of visitors is counted inside the database.
 */

import { type Kysely, type RawBuilder, sql } from 'kysely';
import { describeAgent } from '../clicks/agent.ts';
import type { FoldResult } from '../clicks/click-tiers.ts';
import { addVisitors } from '../clicks/sketch.ts';
import { DAY_MS } from '../clicks/visitor.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Pause } from '../kernel/portions.ts';
import { QUARTER_MS } from '../stats/plan.ts';
import { addFigures, type Figures } from './click-figures.ts';
import {
  ALL_LINKS,
  FIGURE_KINDS,
  REASON_NUMBERS,
  SEGMENT_SIZE,
  WORD_KINDS,
  type WordKind,
} from './click-rows.ts';
import type { Dialect } from './dialect.ts';
import type { OpenDatabase } from './sqlite/open-database.ts';
import type { Tables } from './tables.ts';

/** Clicks that are counted together: ids above `from` up to `to`, of which the first `stage` stages are done. */
interface Batch {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
  readonly clicks: number;
  readonly stage: number;
  readonly slices: number;
}

/** Slices of a batch: it is so many times as large as what a transaction counts. */
const SLICES_MAX = 16;

export async function foldClicks(
  { reader, writer }: Pick<OpenDatabase, 'reader' | 'writer'>,
  { dialect, clock, pause }: { dialect: Dialect; clock: Clock; pause: Pause },
  sliceClicks: number,
): Promise<FoldResult> {
  let longestMs = 0;
  for (;;) {
    const batch = await findBatch(reader, sliceClicks);
    if (batch === null) return { clicks: 0, isFull: false, longestMs };
    if (batch.stage === 0) await learnNewAgents({ reader, writer }, { dialect, pause }, batch);
    for (let stage = batch.stage; ; stage++) {
      const now = { ...batch, stage };
      const startedMs = clock.monotonicMs();
      const isOurs = await dialect.transaction(writer, (db) => runStage(db, dialect, now));
      longestMs = Math.max(longestMs, clock.monotonicMs() - startedMs);
      // Without any click: they were all purged meanwhile.
      if (!isOurs || (isLast(now) && batch.clicks === 0)) break;
      if (isLast(now)) return { clicks: batch.clicks, isFull: batch.slices === SLICES_MAX, longestMs };
      await pause();
    }
    await pause();
  }
}

async function findBatch(db: Kysely<Tables>, sliceClicks: number): Promise<Batch | null> {
  const segment = await findWaiting(db);
  if (segment === null) return null;
  const { id, from, end, stage, slices, batchTo } = segment;
  const upTo = stage === 0 ? end - 1 : batchTo;
  const { to, clicks } = await db
    .selectFrom((eb) =>
      eb
        .selectFrom('clicks')
        .select('id')
        .where('id', '>', from)
        .where('id', '<=', upTo)
        .orderBy('id')
        .$if(stage === 0, (query) => query.limit(sliceClicks * SLICES_MAX))
        .as('batch'),
    )
    .select((eb) => [eb.fn.max('id').as('to'), eb.fn.countAll<number>().as('clicks')])
    .executeTakeFirstOrThrow();
  const batch = { segment: id, from, clicks, stage };
  return stage === 0
    ? { ...batch, to, slices: Math.ceil(clicks / sliceClicks) }
    : { ...batch, to: batchTo, slices };
}

interface WaitingSegment {
  readonly id: number;
  /** Its clicks up to this id are counted. */
  readonly from: number;
  /** Of the next segment. */
  readonly end: number;
  readonly stage: number;
  readonly slices: number;
  readonly batchTo: number;
}

/** The first segment that has clicks which are not counted. */
async function findWaiting(db: Kysely<Tables>): Promise<WaitingSegment | null> {
  const size = sql.lit(SEGMENT_SIZE);
  const { rows } = await sql<WaitingSegment>`
    select id, id * ${size} + folded_to as "from", (id + 1) * ${size} as "end", stage, slices, id * ${size} + batch_to as "batchTo"
    from segments where is_over = 0 and (stage > 0 or exists (select 1 from clicks
      where clicks.id > segments.id * ${size} + segments.folded_to and clicks.id < (segments.id + 1) * ${size}))
    order by id limit 1`.execute(db);
  return rows[0] ?? null;
}

export async function findOldestWaitingMs(db: Kysely<Tables>): Promise<number | null> {
  const size = sql.lit(SEGMENT_SIZE);
  const { rows } = await sql<{ oldest: number | null }>`
    select min(first_at_ms) as oldest from (select (select at_ms from clicks
      where clicks.id > segments.id * ${size} + segments.folded_to and clicks.id < (segments.id + 1) * ${size}
      order by clicks.id limit 1) as first_at_ms from segments where is_over = 0) as waiting`.execute(db);
  return (rows[0] as { oldest: number | null }).oldest;
}

interface NewAgent {
  readonly id: number;
  readonly text: string;
}

/** Agents that are described at a time: about 5 ms. */
const NEW_AGENTS_MAX = 100;

function findNewAgents(db: Kysely<Tables>, { from, to }: Batch): Promise<NewAgent[]> {
  return db
    .selectFrom('clicks')
    .innerJoin('words', 'words.id', 'clicks.agent')
    .leftJoin('agents', 'agents.id', 'clicks.agent')
    .select(['words.id', 'words.text'])
    .distinct()
    .where('clicks.id', '>', from)
    .where('clicks.id', '<=', to)
    .where('agents.id', 'is', null)
    .limit(NEW_AGENTS_MAX)
    .execute();
}

async function learnNewAgents(
  { reader, writer }: Pick<OpenDatabase, 'reader' | 'writer'>,
  { dialect, pause }: { dialect: Dialect; pause: Pause },
  batch: Batch,
): Promise<void> {
  for (;;) {
    const agents = await findNewAgents(reader, batch);
    if (agents.length === 0) return;
    await learnAgents(writer, dialect, agents);
    await pause();
  }
}

const { browser: BROWSER, os: OS, device: DEVICE } = WORD_KINDS;

async function learnAgents(
  writer: Kysely<Tables>,
  dialect: Dialect,
  agents: readonly NewAgent[],
): Promise<void> {
  const described = agents.map(({ id, text }) => ({ id, ...describeAgent(text) }));
  const words = described.flatMap(({ browser, os, device }): [number, string | null][] => [
    [BROWSER, browser],
    [OS, os],
    [DEVICE, device],
  ]);
  const named = words.filter(([, text]) => text !== null);
  await dialect.transaction(writer, async (db) => {
    await sql`
      insert into words (kind, text)
      select kind, text from ${dialect.rowsOf({ kind: 'number', text: 'text' }, named)} as named where true
      on conflict (kind, text) do nothing`.execute(db);
    const rows = described.map(({ id, browser, os, device }) => [id, browser, os, device]);
    const columns = { id: 'number', browser: 'text', os: 'text', device: 'text' } as const;
    await sql`
      insert into agents (id, browser, os, device)
      select described.id, browsers.id, systems.id, devices.id from ${dialect.rowsOf(columns, rows)} as described
        left join words as browsers on browsers.kind = ${BROWSER} and browsers.text = described.browser
        left join words as systems on systems.kind = ${OS} and systems.text = described.os
        left join words as devices on devices.kind = ${DEVICE} and devices.text = described.device
      where true
      on conflict (id) do nothing`.execute(db);
  });
}

/** False: somebody else did this stage meanwhile. */
async function runStage(db: Kysely<Tables>, dialect: Dialect, batch: Batch): Promise<boolean> {
  if (!(await noteStage(db, batch))) return false;
  const { slices, stage } = batch;
  if (slices === 1) {
    await layOut(db, dialect, { ...batch, slice: sql`true` });
    await addFigures(db, [INDEX, ...LAID_OUT]);
    await countVisitors(db, dialect);
    await mergeLinks(db);
    await addFigures(db, LAID_OUT);
    await countVisitors(db, dialect);
  } else if (stage >= STAGES_OF_ALL) {
    await layOut(db, dialect, { ...batch, slice: sql`link_id % ${slices} = ${stage - STAGES_OF_ALL}` });
    await addFigures(db, [INDEX, ...LAID_OUT]);
    await countVisitors(db, dialect);
  } else {
    await layOut(db, dialect, { ...batch, slice: sql`true` });
    await mergeLinks(db);
    if (stage === 0) {
      await addFigures(db, TOTALS);
      await countVisitors(db, dialect);
    } else await addFigures(db, stage === 1 ? SAID_BY_CLICKS : SAID_BY_AGENTS);
  }
  return true;
}

/** Of all links together. */
const STAGES_OF_ALL = 3;

/** What fits in one transaction has one stage. */
function isLast({ stage, slices }: Batch): boolean {
  return slices === 1 || stage === STAGES_OF_ALL + slices - 1;
}

async function noteStage(db: Kysely<Tables>, batch: Batch): Promise<boolean> {
  const { segment, from, to, clicks, stage, slices } = batch;
  const base = segment * SEGMENT_SIZE;
  const { numUpdatedRows } = await db
    .updateTable('segments')
    .set((eb) => ({
      stage: isLast(batch) ? 0 : stage + 1,
      ...(stage === 0 && { batch_to: to - base, slices, folded: eb('folded', '+', clicks) }),
      ...(isLast(batch) && { folded_to: to - base }),
    }))
    .where('id', '=', segment)
    .where('folded_to', '=', from - base)
    .where('stage', '=', stage)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/**
 * What a stage counts, with everything it is counted by, lies in a table of this connection: a batch is read once for each
 * stage and not for each statement.
 */
async function layOut(
  db: Kysely<Tables>,
  dialect: Dialect,
  { from, to, slice }: Batch & { slice: RawBuilder<unknown> },
): Promise<void> {
  await openFolding(db, dialect);
  await sql`
    insert into folding
    select clicks.id, link_id, at_ms, reason, visitor, at_ms / ${sql.lit(QUARTER_MS)}, at_ms / ${sql.lit(DAY_MS)},
      referrer, language, country, browser, os, device, 1
    from clicks left join agents on agents.id = clicks.agent
    where clicks.id > ${from} and clicks.id <= ${to} and ${slice}`.execute(db);
}

/** An empty one. `clicks`: how often each counts, -1 takes it out of the figures. */
export function openFolding(db: Kysely<Tables>, dialect: Dialect): Promise<void> {
  return dialect.openScratch(
    db,
    'folding',
    sql`id bigint, link_id bigint, at_ms bigint, reason integer, visitor bigint, quarter integer, day integer,
      referrer bigint, language bigint, country bigint, browser bigint, os bigint, device bigint, clicks integer`,
  );
}

/** What is laid out counts for all links together from here on. */
export async function mergeLinks(db: Kysely<Tables>): Promise<void> {
  await sql`update folding set link_id = ${sql.lit(ALL_LINKS)}`.execute(db);
}

const CLICKS = sql`cast(sum(clicks) as bigint) as clicks`;

const INDEX: Figures = sql`select link_id, ${sql.lit(FIGURE_KINDS.click)}, at_ms, id, 0, 1 from folding`;

const TOTALS: readonly Figures[] = [
  sql`select link_id, ${sql.lit(FIGURE_KINDS.total)} as kind, 0 as at, 0 as word, reason, ${CLICKS} from folding
    group by link_id, reason`,
  sql`select link_id, ${sql.lit(FIGURE_KINDS.quarter)}, quarter, 0, reason, ${CLICKS} from folding
    where quarter is not null group by link_id, quarter, reason`,
];

const SAID_BY_CLICKS = (['referrer', 'language', 'country'] as const).map(countWords);
const SAID_BY_AGENTS = (['browser', 'os', 'device'] as const).map(countWords);

/** All but the index. */
const LAID_OUT: readonly Figures[] = [...TOTALS, ...SAID_BY_CLICKS, ...SAID_BY_AGENTS];

/** All that a click's reason is part of. */
export const CHANGED_FIGURES: readonly Figures[] = [
  ...LAID_OUT,
  // Of clicks whose quarter of an hour is a part of its day already.
  sql`select link_id, ${sql.lit(FIGURE_KINDS.day)}, day, 0, reason, ${CLICKS} from folding
    where quarter is null group by link_id, day, reason`,
];

function countWords(kind: Exclude<WordKind, 'agent'>): Figures {
  const word = sql.ref(kind);
  return sql`select link_id, ${sql.lit(WORD_KINDS[kind])}, day, ${word}, reason, ${CLICKS} from folding
    where ${word} is not null group by link_id, day, reason, ${word}`;
}

/** Of people alone: whoever reads `visitors` wants them. */
export async function countVisitors(db: Kysely<Tables>, dialect: Dialect): Promise<void> {
  const { rows: visits } = await sql<{ link_id: number; day: number; visitor: number }>`
    select link_id, day, visitor from folding
    where reason = ${REASON_NUMBERS.human} and visitor is not null and clicks > 0`.execute(db);
  const groups = groupVisitors(visits);
  const keys = dialect.rowsOf(
    { link_id: 'number', day: 'number' },
    [...groups.values()].map(({ linkId, day }) => [linkId, day]),
  );
  const { rows: known } = await sql<{ link_id: number; day: number; sketch: Uint8Array }>`
    select link_id, day, sketch from click_visitors where (link_id, day) in
      (select wanted.link_id, wanted.day from ${keys} as wanted)`.execute(db);
  const sketches = new Map(known.map(({ link_id, day, sketch }) => [`${link_id} ${day}`, sketch]));
  const changed = [...groups].flatMap(([key, { linkId, day, visitors }]) => {
    const before = sketches.get(key) ?? null;
    const after = addVisitors(before, visitors);
    return after === before ? [] : [[linkId, day, after] as const];
  });
  const columns = { link_id: 'number', day: 'number', sketch: 'bytes' } as const;
  await sql`
    insert into click_figures (link_id, kind, at, word, reason, clicks, sketch)
    select link_id, ${sql.lit(FIGURE_KINDS.visitors)}, day, 0, 0, 0, sketch from ${dialect.rowsOf(columns, changed)} as changed
    where true order by link_id, day
    on conflict (link_id, kind, at, word, reason) do update set sketch = excluded.sketch`.execute(db);
}

interface VisitorGroup {
  readonly linkId: number;
  readonly day: number;
  readonly visitors: number[];
}

function groupVisitors(
  visits: readonly { link_id: number; day: number; visitor: number }[],
): Map<string, VisitorGroup> {
  const groups = new Map<string, VisitorGroup>();
  for (const { link_id: linkId, day, visitor } of visits) {
    const key = `${linkId} ${day}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { linkId, day, visitors: [visitor] });
    else group.visitors.push(visitor);
  }
  return groups;
}
