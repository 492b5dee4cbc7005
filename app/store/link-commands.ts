/**
 * Runs the commands of one unit on an open transaction: load, ask the rules (links/decide.ts), write. Every change writes
 * the row, its event, its tags and its search text together.
 */

import { type Kysely, sql } from 'kysely';
import { type ChangeCommand, decideChange, isKeyReleasable, isReusable } from '../links/decide.ts';
import { type Link, type LinkOptions, optionsOf, PRIMARY_DOMAIN } from '../links/link.ts';
import type { EventType, LinkCommand, LinkRef, Outcome, Refusal, UnitResult } from '../links/link-store.ts';
import type { Dialect } from './dialect.ts';
import { parseOptions, toLink, toLinkRow } from './link-rows.ts';
import { toSearchText } from './search-text.ts';
import type { Tables } from './tables.ts';

export async function runUnit(
  db: Kysely<Tables>,
  dialect: Dialect,
  unit: readonly LinkCommand[],
): Promise<UnitResult> {
  await sql`savepoint unit`.execute(db);
  const outcomes: Outcome[] = [];
  for (const command of unit) outcomes.push(await runCommand(db, dialect, command));
  const committed = outcomes.every(({ type }) => type !== 'refused');
  if (!committed) await sql`rollback to savepoint unit`.execute(db);
  await sql`release savepoint unit`.execute(db);
  return { committed, outcomes };
}

async function runCommand(db: Kysely<Tables>, dialect: Dialect, command: LinkCommand): Promise<Outcome> {
  if (command.type === 'create') return create(db, dialect, command);
  const link = await findLink(db, command.type === 'put' ? { key: command.key } : command.ref);
  if (command.type === 'put' && (link === null || isKeyReleasable(link, command.atMs))) {
    if (command.ifVersion !== null) return refused('version_mismatch');
    return create(db, dialect, { ...command, candidates: [command.key], reuseEqual: false });
  }
  if (link === null) return refused('not_found');
  return changeLink(db, dialect, link, command);
}

interface Creation {
  readonly candidates: readonly string[];
  readonly options: LinkOptions;
  readonly reuseEqual: boolean;
  readonly by: string;
  readonly atMs: number;
}

async function create(db: Kysely<Tables>, dialect: Dialect, creation: Creation): Promise<Outcome> {
  for (const key of creation.candidates) {
    const draft = newLink(key, creation);
    const link = await insertLink(db, draft);
    if (link !== null) return recordCreation(db, dialect, link);
    const occupant = (await findLink(db, { key })) as Link;
    if (creation.reuseEqual && isReusable(occupant, creation)) return { type: 'unchanged', link: occupant };
    if (!isKeyReleasable(occupant, creation.atMs)) continue;
    await db.updateTable('links').set({ released: 1 }).where('id', '=', occupant.id).execute();
    return recordCreation(db, dialect, (await insertLink(db, draft)) as Link);
  }
  return refused('key_taken');
}

/** A link that has no numbers yet. */
type LinkDraft = Omit<Link, 'id' | 'seq' | 'maxClicksSeq'>;

function newLink(key: string, { options, by, atMs }: Creation): LinkDraft {
  return {
    ...options,
    domain: PRIMARY_DOMAIN,
    key,
    version: 1,
    createdBy: by,
    createdAtMs: atMs,
    updatedAtMs: atMs,
    deletedAtMs: null,
    released: false,
  };
}

/** What `seq` is between the insert and its number; no commit ever holds it. */
const UNNUMBERED = 0;

/**
 * Insert or conflict: the unique index decides, and null means that the key has an owner. The number is taken only by who
 * won, so that a command that changes nothing writes nothing.
 */
async function insertLink(db: Kysely<Tables>, draft: LinkDraft): Promise<Link | null> {
  const row = await db
    .insertInto('links')
    .values(toLinkRow({ ...draft, seq: UNNUMBERED, maxClicksSeq: UNNUMBERED }))
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (row === undefined) return null;
  const seq = await takeNumbers(db, 'event', 1);
  await db.updateTable('links').set({ seq, max_clicks_seq: seq }).where('id', '=', row.id).execute();
  return { ...draft, id: row.id, seq, maxClicksSeq: seq };
}

async function recordCreation(db: Kysely<Tables>, dialect: Dialect, link: Link): Promise<Outcome> {
  await insertEvent(db, { type: 'created', link, by: link.createdBy, options: optionsOf(link) });
  await insertTags(db, link);
  await dialect.indexSearchText(db, { id: link.id, text: toSearchText(link), isNew: true });
  return { type: 'created', link };
}

async function changeLink(
  db: Kysely<Tables>,
  dialect: Dialect,
  link: Link,
  command: ChangeCommand,
): Promise<Outcome> {
  const past = command.type === 'revert' ? await findPast(db, link.id, command.version) : null;
  const decision = decideChange(link, command, past);
  switch (decision.type) {
    case 'refuse':
      return refused(decision.reason);
    case 'keep':
      return { type: 'unchanged', link };
    case 'purge':
      return purge(db, dialect, link, command);
    case 'write': {
      const seq = await takeNumbers(db, 'event', 1);
      const maxClicksSeq = decision.setsMaxClicks ? seq : link.maxClicksSeq;
      const next: Link = { ...decision.link, seq, maxClicksSeq };
      await writeLink(db, dialect, { before: link, next });
      await insertEvent(db, { type: decision.event, link: next, by: command.by, options: optionsOf(next) });
      return { type: decision.event, link: next };
    }
  }
}

async function writeLink(
  db: Kysely<Tables>,
  dialect: Dialect,
  { before, next }: { before: Link; next: Link },
): Promise<void> {
  const { id, ...rest } = next;
  await db.updateTable('links').set(toLinkRow(rest)).where('id', '=', id).execute();
  if (before.tags.join('\n') !== next.tags.join('\n')) {
    await db.deleteFrom('link_tags').where('link_id', '=', id).execute();
    await insertTags(db, next);
  }
  const text = toSearchText(next);
  if (toSearchText(before) !== text) await dialect.indexSearchText(db, { id, text, isNew: false });
}

async function purge(
  db: Kysely<Tables>,
  dialect: Dialect,
  link: Link,
  { by, atMs }: { by: string; atMs: number },
): Promise<Outcome> {
  const seq = await takeNumbers(db, 'event', 1);
  await db.deleteFrom('events').where('link_id', '=', link.id).execute();
  await dialect.indexSearchText(db, { id: link.id, text: null, isNew: false });
  await db.deleteFrom('links').where('id', '=', link.id).execute();
  const last = { ...link, seq, version: link.version + 1, updatedAtMs: atMs };
  await insertEvent(db, { type: 'purged', link: last, by, options: null });
  return { type: 'purged' };
}

async function insertEvent(
  db: Kysely<Tables>,
  { type, link, by, options }: { type: EventType; link: Link; by: string; options: LinkOptions | null },
): Promise<void> {
  await db
    .insertInto('events')
    .values({
      seq: link.seq,
      type,
      link_id: link.id,
      domain: link.domain,
      key: link.key,
      version: link.version,
      by,
      at_ms: link.updatedAtMs,
      options: options === null ? null : JSON.stringify(options),
    })
    .execute();
}

async function insertTags(db: Kysely<Tables>, { id, tags }: Link): Promise<void> {
  if (tags.length === 0) return;
  await db
    .insertInto('link_tags')
    .values(tags.map((tag) => ({ tag, link_id: id })))
    .execute();
}

async function findPast(db: Kysely<Tables>, linkId: number, version: number): Promise<LinkOptions | null> {
  const row = await db
    .selectFrom('events')
    .select('options')
    .where('link_id', '=', linkId)
    .where('version', '=', version)
    .executeTakeFirst();
  return row?.options ? parseOptions(row.options) : null;
}

export async function findLink(db: Kysely<Tables>, ref: LinkRef): Promise<Link | null> {
  const row = await selectLink(db, ref).executeTakeFirst();
  return row === undefined ? null : toLink(row);
}

/** The link that has the key now, or any link by its id. */
function selectLink(db: Kysely<Tables>, ref: LinkRef) {
  const links = db.selectFrom('links').selectAll();
  return 'id' in ref
    ? links.where('id', '=', ref.id)
    : links.where('domain', '=', PRIMARY_DOMAIN).where('key', '=', ref.key).where('released', '=', 0);
}

/**
 * Takes the next `count` numbers of a sequence and returns the first. The row stays locked until the commit, so numbers
 * become visible in their order: whoever follows `seq` never sees 8 before 7.
 */
export async function takeNumbers(db: Kysely<Tables>, name: 'event' | 'key', count: number): Promise<number> {
  const { value } = await db
    .updateTable('sequences')
    .set((eb) => ({ value: eb('value', '+', count) }))
    .where('name', '=', name)
    .returning('value')
    .executeTakeFirstOrThrow();
  return value - count + 1;
}

function refused(reason: Refusal): Outcome {
  return { type: 'refused', reason };
}
