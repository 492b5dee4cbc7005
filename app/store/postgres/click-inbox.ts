/**
 * Takes clicks of all hosts into the shared database, each once: a click is known by its process and its number there, and
 * batches of one process come in order.
 */

import { type Kysely, sql } from 'kysely';
import type { ClickBatch, ClickInbox, ShippedClick } from '../../fleet/shipper.ts';
import {
  CLICK_WORD_KINDS,
  type ClickWordKind,
  OTHER_WORD,
  REASON_NUMBERS,
  SEGMENT_SIZE,
  WORD_KINDS,
  WORDS_OF_KIND_MAX,
} from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

export function createClickInbox(
  db: Kysely<Tables>,
  dialect: Dialect,
  kindMax = WORDS_OF_KIND_MAX,
): ClickInbox {
  const reading = createReading(dialect);
  const deps = { dialect, kindMax, full: new Set<number>() };
  let mergedInto: number | null = null;
  return {
    readDatabase: () => reading(readDatabase(db)),
    merge: (batch, database) =>
      reading(
        dialect.transaction(db, async (connection) => {
          if ((await readDatabase(connection)) !== database) return false;
          if (mergedInto !== database) deps.full.clear();
          mergedInto = database;
          await merge(connection, deps, batch);
          return true;
        }),
      ),
  };
}

interface MergeDeps {
  readonly dialect: Dialect;
  readonly kindMax: number;
  /** Kinds of words that are known to be full; none ever becomes less. */
  readonly full: Set<number>;
}

async function readDatabase(db: Kysely<Tables>): Promise<number> {
  const { value } = await db
    .selectFrom('sequences')
    .select('value')
    .where('name', '=', 'database')
    .executeTakeFirstOrThrow();
  return value;
}

async function merge(db: Kysely<Tables>, deps: MergeDeps, batch: ClickBatch): Promise<void> {
  const { dialect } = deps;
  const segment = await openSegment(db, batch);
  // What was stored before stays as it is, also where its rows are gone, since their link was purged or they were old.
  const clicks = batch.clicks.filter(({ sequence }) => sequence > segment.shippedTo);
  if (clicks.length === 0) return;
  const idOf = await openWords(db, deps, clicks);
  const rows = clicks.map((click) => [
    segment.id * SEGMENT_SIZE + click.sequence,
    click.linkId,
    click.atMs,
    REASON_NUMBERS[click.reason],
    click.visitor,
    ...CLICK_WORD_KINDS.map((kind) => idOf(kind, click[kind])),
  ]);
  const columns = {
    id: 'number',
    link_id: 'number',
    at_ms: 'number',
    reason: 'number',
    visitor: 'number',
    agent: 'number',
    referrer: 'number',
    language: 'number',
    country: 'number',
  } as const;
  await sql`
    insert into clicks (${sql.join(Object.keys(columns).map((name) => sql.ref(name)))})
    select * from ${dialect.rowsOf(columns, rows)} as given
    on conflict (id) do nothing`.execute(db);
  const { sequence: last } = clicks.at(-1) as ShippedClick;
  await db.updateTable('segments').set({ shipped_to: last }).where('id', '=', segment.id).execute();
}

async function openSegment(
  db: Kysely<Tables>,
  { segment, startedAtMs }: ClickBatch,
): Promise<{ readonly id: number; readonly shippedTo: number }> {
  const known = await db
    .updateTable('segments')
    // Of a host that was away for days: what it brings is to be counted.
    .set({ is_over: 0 })
    .where('name', '=', segment)
    .returning(['id', 'shipped_to as shippedTo'])
    .executeTakeFirst();
  if (known !== undefined) return known;
  return db
    .insertInto('segments')
    .values({ name: segment, started_at_ms: startedAtMs, folded_to: 0 })
    .returning(['id', 'shipped_to as shippedTo'])
    .executeTakeFirstOrThrow();
}

interface Word {
  readonly kind: number;
  readonly text: string;
}

/** The number of each text of these clicks; null stays null. */
async function openWords(
  db: Kysely<Tables>,
  deps: MergeDeps,
  clicks: readonly ShippedClick[],
): Promise<(kind: ClickWordKind, text: string | null) => number | null> {
  const wanted = new Map<string, Word>();
  for (const click of clicks) {
    for (const kind of CLICK_WORD_KINDS) {
      const text = click[kind];
      if (text !== null) wanted.set(nameOf(WORD_KINDS[kind], text), { kind: WORD_KINDS[kind], text });
    }
  }
  const ids = await readIds(db, deps, [...wanted.values()]);
  const missing = [...wanted].flatMap(([name, word]) => (ids.has(name) ? [] : [word]));
  for (const [name, id] of await makeWords(db, deps, missing)) ids.set(name, id);
  return (kind, text) => (text === null ? null : (ids.get(nameOf(WORD_KINDS[kind], text)) ?? OTHER_WORD));
}

async function readIds(
  db: Kysely<Tables>,
  { dialect }: MergeDeps,
  words: readonly Word[],
): Promise<Map<string, number>> {
  const { rows } = await sql<Word & { id: number }>`
    select words.id, words.kind, words.text from ${rowsOf(dialect, words)} as given
      join words on words.kind = given.kind and words.text = given.text`.execute(db);
  return new Map(rows.map(({ id, kind, text }) => [nameOf(kind, text), id]));
}

/** Only of kinds that have room, which is counted once for each. */
async function makeWords(
  db: Kysely<Tables>,
  deps: MergeDeps,
  words: readonly Word[],
): Promise<Map<string, number>> {
  const { dialect, kindMax, full } = deps;
  for (const kind of new Set(words.map((word) => word.kind))) {
    if (full.has(kind)) continue;
    const { rows } =
      await sql`select 1 from words where kind = ${kind} offset ${kindMax - 1} limit 1`.execute(db);
    if (rows.length > 0) full.add(kind);
  }
  const made = words.filter(({ kind }) => !full.has(kind));
  if (made.length === 0) return new Map();
  await sql`
    insert into words (kind, text) select kind, text from ${rowsOf(dialect, made)} as given
    on conflict (kind, text) do nothing`.execute(db);
  return readIds(db, deps, made);
}

function rowsOf(dialect: Dialect, words: readonly Word[]) {
  return dialect.rowsOf(
    { kind: 'number', text: 'text' },
    words.map(({ kind, text }) => [kind, text]),
  );
}

function nameOf(kind: number, text: string): string {
  return `${kind} ${text}`;
}
