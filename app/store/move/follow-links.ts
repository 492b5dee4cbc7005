/**
 * Brings what changed since a snapshot: links of keys that have a new event, with their tags, and all events of links that have a new
 * one, as they are now. A link that changes while it is read is brought once more.
 */

import type Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { MoveLog } from './move-log.ts';
import { insertRows, type Row, type TableShape } from './table-shape.ts';

export interface FollowDeps {
  readonly from: Database.Database;
  readonly to: Kysely<Tables>;
  readonly dialect: Dialect;
  readonly log: MoveLog;
  /** The last change that the snapshot has. */
  readonly since: number;
  readonly shapes: {
    readonly links: TableShape;
    readonly link_tags: TableShape;
    readonly events: TableShape;
  };
}

/** Events of a portion: about 100 ms. */
export const EVENTS_MAX = 1000;
/** The place of what was followed, beside those of tables. */
export const FOLLOWED = 'events that were followed';

/** Up to the last change but for those that come meanwhile. Resolves with how many there were. */
export async function followLinks({ from, to, dialect, log, since, shapes }: FollowDeps): Promise<number> {
  const listChanges = from.prepare<[number], { seq: number; key: string; linkId: number }>(
    `select seq, key, link_id as "linkId" from events where seq > ? order by seq limit ${EVENTS_MAX}`,
  );
  const readAll = (name: keyof typeof shapes, where: string) => {
    const columns = Object.keys(shapes[name].columns).map((column) => `"${column}"`);
    const statement = from
      .prepare<[string], Row>(`select ${columns.join(', ')} from ${name} where ${where}`)
      .raw();
    return (values: readonly (string | number)[]) => statement.all(JSON.stringify(values));
  };
  const readLinks = readAll('links', 'key in (select value from json_each(?))');
  const readTags = readAll('link_tags', 'link_id in (select value from json_each(?))');
  const readEvents = readAll('events', 'link_id in (select value from json_each(?))');

  for (let followed = 0; ; ) {
    const { rows: position } = await log.readPlace(to, FOLLOWED);
    const changes = listChanges.all(Math.max(position, since));
    const last = changes.at(-1);
    if (last === undefined) return followed;
    const keys = [...new Set(changes.map(({ key }) => key))];
    const linkIds = [...new Set(changes.map(({ linkId }) => linkId))];
    const links = readLinks(keys);
    const idAt = Object.keys(shapes.links.columns).indexOf('id');
    const tags = readTags(links.map((row) => row[idAt] as number));
    const events = readEvents(linkIds);
    await dialect.transaction(to, async (db) => {
      const changed = dialect.rowsOf(
        { key: 'text' },
        keys.map((key) => [key]),
      );
      // Their tags go with them.
      await sql`delete from links where key in (select key from ${changed} as changed)`.execute(db);
      await sql`delete from events where link_id in ${dialect.idsIn(linkIds)}`.execute(db);
      await insertRows(db, { dialect, shape: shapes.links }, links);
      await insertRows(db, { dialect, shape: shapes.link_tags }, tags);
      await insertRows(db, { dialect, shape: shapes.events }, events);
      await log.writePlace(db, FOLLOWED, { after: null, rows: last.seq, isWhole: false });
    });
    followed += changes.length;
    // Else a service that is changed all the time is followed for ever, a few changes after the other.
    if (changes.length < EVENTS_MAX) return followed;
  }
}
