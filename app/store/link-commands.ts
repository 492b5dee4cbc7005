/**
 * Runs the commands of a call's units on an open transaction: load, ask the rules (links/decide.ts), write. Every change
 * writes the row, its event and its tags at once; the last number taken and the search texts follow at the end of the call.
 */

import { type Kysely, sql } from 'kysely';
import { type ChangeCommand, decideChange, isKeyReleasable, isReusable } from '../links/decide.ts';
import { type Link, type LinkOptions, optionsOf, PRIMARY_DOMAIN } from '../links/link.ts';
import type { EventType, LinkCommand, LinkRef, Outcome, Refusal, UnitResult } from '../links/link-store.ts';
import type { Dialect, SearchEntry } from './dialect.ts';
import type { LinkInserts } from './link-inserts.ts';
import { namedVersion, parseOptions, toLink, toLinkRow } from './link-rows.ts';
import { toSearchText } from './search-text.ts';
import type { Tables } from './tables.ts';

export interface CommandDeps {
  readonly db: Kysely<Tables>;
  readonly dialect: Dialect;
  readonly inserts: LinkInserts;
  /** Takes back all that this call did. */
  readonly undo: () => Promise<unknown>;
}

/**
 * A call under way. What stands here is written once, at its end: between two savepoints FTS5 writes out what it gathered,
 * which costs more than the link itself, and the row of numbers would be written once for each.
 */
interface Call extends CommandDeps {
  /** The last number that a change took; null: none did yet. */
  lastSeq: number | null;
  readonly searchEntries: SearchEntry[];
}

/** One result for each unit. All of it is written when this resolves, and none of it when the caller undoes it. */
export async function runUnits(
  deps: CommandDeps,
  units: readonly (readonly LinkCommand[])[],
): Promise<UnitResult[]> {
  const call: Call = { ...deps, lastSeq: null, searchEntries: [] };
  const results: UnitResult[] = [];
  for (const unit of units) results.push(await (units.length === 1 ? runOnlyUnit : runUnit)(call, unit));
  await writeGathered(call);
  return results;
}

/** Without a savepoint of its own: two questions less to a database that may be far away. */
async function runOnlyUnit(call: Call, unit: readonly LinkCommand[]): Promise<UnitResult> {
  const result = await runCommands(call, unit);
  if (!result.committed) {
    await call.undo();
    call.lastSeq = null;
    call.searchEntries.length = 0;
  }
  return result;
}

async function runUnit(call: Call, unit: readonly LinkCommand[]): Promise<UnitResult> {
  const { db, lastSeq, searchEntries } = call;
  const entriesBefore = searchEntries.length;
  await sql`savepoint unit`.execute(db);
  const result = await runCommands(call, unit);
  if (!result.committed) {
    await sql`rollback to savepoint unit`.execute(db);
    call.lastSeq = lastSeq;
    searchEntries.length = entriesBefore;
  }
  await sql`release savepoint unit`.execute(db);
  return result;
}

async function runCommands(call: Call, unit: readonly LinkCommand[]): Promise<UnitResult> {
  const outcomes: Outcome[] = [];
  for (const command of unit) outcomes.push(await runCommand(call, command));
  return { committed: outcomes.every(({ type }) => type !== 'refused'), outcomes };
}

async function writeGathered({ db, dialect, lastSeq, searchEntries }: Call): Promise<void> {
  if (lastSeq === null) return;
  await db.updateTable('sequences').set({ value: lastSeq }).where('name', '=', 'event').execute();
  for (const entry of searchEntries) await dialect.indexSearchText(db, entry);
}

async function runCommand(call: Call, command: LinkCommand): Promise<Outcome> {
  if (command.type === 'create') return create(call, command);
  const link = await findLink(call.db, command.type === 'put' ? { key: command.key } : command.ref);
  if (command.type === 'put' && (link === null || isKeyReleasable(link, command.atMs))) {
    if (command.ifVersion !== null) return refused('version_mismatch');
    return create(call, { ...command, candidates: [command.key], reuseEqual: false });
  }
  if (link === null) return refused('not_found');
  return changeLink(call, link, command);
}

interface Creation {
  readonly candidates: readonly string[];
  readonly options: LinkOptions;
  readonly reuseEqual: boolean;
  readonly by: string;
  readonly atMs: number;
}

async function create(call: Call, creation: Creation): Promise<Outcome> {
  const { db } = call;
  for (const key of creation.candidates) {
    const draft = newLink(key, creation);
    const link = await insertLink(call, draft);
    if (link !== null) return recordCreation(call, link);
    const occupant = (await findLink(db, { key })) as Link;
    if (creation.reuseEqual && isReusable(occupant, creation)) return { type: 'unchanged', link: occupant };
    if (!isKeyReleasable(occupant, creation.atMs)) continue;
    await db.updateTable('links').set({ released: 1 }).where('id', '=', occupant.id).execute();
    return recordCreation(call, (await insertLink(call, draft)) as Link);
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

/**
 * Insert or conflict: the unique index decides, and null means that the key has an owner. Only who won has taken the
 * number, so that a command that changes nothing writes nothing.
 */
async function insertLink(call: Call, draft: LinkDraft): Promise<Link | null> {
  const seq = await nextSeq(call);
  const row = toLinkRow({ ...draft, seq, maxClicksSeq: seq });
  const id = await call.inserts.link(call.db, row);
  if (id === null) return null;
  call.lastSeq = seq;
  call.searchEntries.push({ id, text: row.search, isNew: true });
  return { ...draft, id, seq, maxClicksSeq: seq };
}

async function recordCreation(call: Call, link: Link): Promise<Outcome> {
  await insertEvent(call, { type: 'created', link, by: link.createdBy, options: optionsOf(link) });
  await insertTags(call.db, link);
  return { type: 'created', link };
}

async function changeLink(call: Call, link: Link, command: ChangeCommand): Promise<Outcome> {
  const past = command.type === 'revert' ? await findPast(call.db, link.id, command.version) : null;
  const decision = decideChange(link, command, past);
  switch (decision.type) {
    case 'refuse':
      return refused(decision.reason);
    case 'keep':
      return { type: 'unchanged', link };
    case 'purge':
      return purge(call, link, command);
    case 'write': {
      const seq = await takeSeq(call);
      const maxClicksSeq = decision.setsMaxClicks ? seq : link.maxClicksSeq;
      const next: Link = { ...decision.link, seq, maxClicksSeq };
      await writeLink(call, { before: link, next });
      await insertEvent(call, {
        type: decision.event,
        link: next,
        by: command.by,
        options: optionsOf(next),
      });
      return { type: decision.event, link: next };
    }
  }
}

async function writeLink(
  { db, searchEntries }: Call,
  { before, next }: { before: Link; next: Link },
): Promise<void> {
  const { id, ...rest } = next;
  const row = toLinkRow(rest);
  await db.updateTable('links').set(row).where('id', '=', id).execute();
  if (before.tags.join('\n') !== next.tags.join('\n')) {
    await db.deleteFrom('link_tags').where('link_id', '=', id).execute();
    await insertTags(db, next);
  }
  if (toSearchText(before) !== row.search) searchEntries.push({ id, text: row.search, isNew: false });
}

async function purge(call: Call, link: Link, { by, atMs }: { by: string; atMs: number }): Promise<Outcome> {
  const { db, searchEntries } = call;
  const seq = await takeSeq(call);
  await db.deleteFrom('events').where('link_id', '=', link.id).execute();
  searchEntries.push({ id: link.id, text: null, isNew: false });
  await db.deleteFrom('links').where('id', '=', link.id).execute();
  const last = { ...link, seq, version: link.version + 1, updatedAtMs: atMs };
  await insertEvent(call, { type: 'purged', link: last, by, options: null });
  return { type: 'purged' };
}

function insertEvent(
  { db, inserts }: Call,
  { type, link, by, options }: { type: EventType; link: Link; by: string; options: LinkOptions | null },
): Promise<void> {
  return inserts.event(db, {
    seq: link.seq,
    type,
    link_id: link.id,
    domain: link.domain,
    key: link.key,
    version: link.version,
    by,
    at_ms: link.updatedAtMs,
    options: options === null ? null : JSON.stringify(options),
  });
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
    .where('version', '=', namedVersion(version))
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

async function takeSeq(call: Call): Promise<number> {
  const seq = await nextSeq(call);
  call.lastSeq = seq;
  return seq;
}

/**
 * The number of the next change. Transactions that write do not overlap, so numbers become visible in their order: whoever
 * follows `seq` never sees 8 before 7.
 */
async function nextSeq({ db, lastSeq }: Call): Promise<number> {
  if (lastSeq !== null) return lastSeq + 1;
  const { value } = await db
    .selectFrom('sequences')
    .select('value')
    .where('name', '=', 'event')
    .executeTakeFirstOrThrow();
  return value + 1;
}

/** Takes the next `count` numbers for keys and returns the first. */
export async function takeKeyNumbers(db: Kysely<Tables>, count: number): Promise<number> {
  const { value } = await db
    .updateTable('sequences')
    .set((eb) => ({ value: eb('value', '+', count) }))
    .where('name', '=', 'key')
    .returning('value')
    .executeTakeFirstOrThrow();
  return value - count + 1;
}

function refused(reason: Refusal): Outcome {
  return { type: 'refused', reason };
}
