/**
 * Takes clicks of all hosts into the shared database, each once: a click is known by its process and its number there, and
 * batches of one process come in order.
 */

import { type Kysely, sql } from 'kysely';
import type { ClickBatch, ClickInbox } from '../../fleet/shipper.ts';
import { OTHER_WORD, REASON_NUMBERS, SEGMENT_SIZE, WORD_KINDS } from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

/** The kinds that clicks name. */
const KINDS = ['agent', 'referrer', 'language', 'country'] as const;
/** Texts of a kind: at most 120 MB of agents. Hosts that ship at once may make somewhat more. */
const KIND_MAX = 200_000;

export function createClickInbox(db: Kysely<Tables>, dialect: Dialect, kindMax = KIND_MAX): ClickInbox {
  const reading = createReading(dialect);
  return {
    merge: (batch) =>
      reading(dialect.transaction(db, (connection) => merge(connection, { dialect, kindMax }, batch))),
  };
}

interface MergeDeps {
  readonly dialect: Dialect;
  readonly kindMax: number;
}

async function merge(db: Kysely<Tables>, deps: MergeDeps, batch: ClickBatch): Promise<void> {
  const { dialect } = deps;
  const segment = await openSegment(db, batch);
  const idOf = await openWords(db, deps, batch);
  const rows = batch.clicks.map((click) => [
    segment * SEGMENT_SIZE + click.sequence,
    click.linkId,
    click.atMs,
    REASON_NUMBERS[click.reason],
    click.visitor,
    ...KINDS.map((kind) => idOf(kind, click[kind])),
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
}

async function openSegment(db: Kysely<Tables>, { segment, startedAtMs }: ClickBatch): Promise<number> {
  const known = await db
    .updateTable('segments')
    // Of a host that was away for days: what it brings is to be counted.
    .set({ is_over: 0 })
    .where('name', '=', segment)
    .returning('id')
    .executeTakeFirst();
  if (known !== undefined) return known.id;
  const { id } = await db
    .insertInto('segments')
    .values({ name: segment, started_at_ms: startedAtMs, folded_to: 0 })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

type Kind = (typeof KINDS)[number];

/** The number of each text of a batch; null stays null. */
async function openWords(
  db: Kysely<Tables>,
  { dialect, kindMax }: MergeDeps,
  { clicks }: ClickBatch,
): Promise<(kind: Kind, text: string | null) => number | null> {
  const texts = new Map<string, [kind: number, text: string]>();
  for (const click of clicks) {
    for (const kind of KINDS) {
      const text = click[kind];
      if (text !== null) texts.set(`${WORD_KINDS[kind]} ${text}`, [WORD_KINDS[kind], text]);
    }
  }
  const given = dialect.rowsOf({ kind: 'number', text: 'text' }, [...texts.values()]);
  await sql`
    insert into words (kind, text)
    select given.kind, given.text from ${given} as given
    where not exists (select 1 from words where words.kind = given.kind offset ${kindMax - 1})
    on conflict (kind, text) do nothing`.execute(db);
  const { rows } = await sql<{ id: number; kind: number; text: string }>`
    select words.id, words.kind, words.text from ${given} as given
      join words on words.kind = given.kind and words.text = given.text`.execute(db);
  const ids = new Map(rows.map(({ id, kind, text }) => [`${kind} ${text}`, id]));
  return (kind, text) => (text === null ? null : (ids.get(`${WORD_KINDS[kind]} ${text}`) ?? OTHER_WORD));
}
