/**
 * A links.db that comes from a backup may be older than the clicks.db beside it. Then new links must not get ids that clicks are
 * stored for, and changes no numbers up to which purges are done already.
 */

import { type Kysely, sql } from 'kysely';
import { SEGMENT_SIZE } from '../click-rows.ts';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { ClicksDb } from './open-clicks-db.ts';
import type { OpenDatabase } from './open-database.ts';

interface Numbers {
  /** The greatest id of a link; 0: there is none. */
  readonly linkId: number;
  /** Of the last change. */
  readonly seq: number;
}

/** Resolves to true when there were such numbers, which are left out now. */
export async function raiseNumbers(
  links: Pick<OpenDatabase, 'reader' | 'writer'>,
  clicks: Pick<ClicksDb, 'database'>,
  dialect: Dialect,
): Promise<boolean> {
  const seen = await readSeen(clicks);
  const { linkId, seq } = await readGiven(links.reader);
  if (linkId >= seen.linkId && seq >= seen.seq) return false;
  await dialect.transaction(links.writer, async (db) => {
    const given = await readGiven(db);
    await sql`delete from sqlite_sequence where name = 'links'`.execute(db);
    await sql`insert into sqlite_sequence (name, seq) values ('links', ${Math.max(given.linkId, seen.linkId)})`.execute(
      db,
    );
    const value = Math.max(given.seq, seen.seq);
    await db.updateTable('sequences').set({ value }).where('name', '=', 'event').execute();
  });
  return true;
}

async function readGiven(db: Kysely<Tables>): Promise<Numbers> {
  const { rows } = await sql<Numbers>`
    select coalesce((select seq from sqlite_sequence where name = 'links'), 0) as "linkId", value as seq
    from sequences where name = 'event'`.execute(db);
  return rows[0] as Numbers;
}

/** What clicks are counted for, limits used up for, and clicks stored for that are not counted yet. */
async function readSeen(clicks: Pick<ClicksDb, 'database'>): Promise<Numbers> {
  try {
    return await selectSeen(clicks.database().reader);
  } catch {
    // Of a file that cannot be read nothing will be counted either; it is set aside, or tells what is wrong with it.
    return { linkId: 0, seq: 0 };
  }
}

async function selectSeen(db: Kysely<Tables>): Promise<Numbers> {
  const size = sql.lit(SEGMENT_SIZE);
  const { rows } = await sql<Numbers>`
    select max(
        coalesce((select max(link_id) from click_figures), 0), coalesce((select max(link_id) from quotas), 0),
        coalesce((select max(link_id) from segments join clicks
          on clicks.id > segments.id * ${size} + folded_to and clicks.id < (segments.id + 1) * ${size}), 0)) as "linkId",
      coalesce((select max(value) from click_state
        where name in ('made_at_seq', 'purged_to_seq', 'purged_again_to_seq')), 0) as seq`.execute(db);
  return rows[0] as Numbers;
}
