/**
 * The link store over Kysely, the same for both databases. Writes go through group commit on the writing connection, reads
 * have a connection of their own; the redirect's `lookup` is the database's own business and comes in from outside.
 */

import type { Kysely } from 'kysely';
import type { LinkEvent, LinkStore } from '../links/link-store.ts';
import type { Dialect } from './dialect.ts';
import type { GroupCommit } from './group-commit.ts';
import { findLink, runUnits, takeKeyNumbers } from './link-commands.ts';
import { createLinkInserts } from './link-inserts.ts';
import { listLinks } from './link-list.ts';
import { namedVersion, parseOptions, toEvent } from './link-rows.ts';
import { createReading } from './reading.ts';
import type { Tables } from './tables.ts';

export interface LinkStoreDeps {
  readonly reader: Kysely<Tables>;
  readonly writes: GroupCommit;
  readonly dialect: Dialect;
  readonly lookup: LinkStore['lookup'];
}

export function createLinkStore({ reader, writes, dialect, lookup }: LinkStoreDeps): LinkStore {
  const reading = createReading(dialect);
  const inserts = createLinkInserts();

  return {
    lookup,

    async apply(units) {
      const weight = units.reduce((sum, unit) => sum + unit.length, 0);
      return writes.run(weight, (db, undo) => runUnits({ db, dialect, inserts, undo }, units));
    },

    findLink: (ref) => reading(findLink(reader, ref)),

    listLinks: (query) => reading(listLinks(reader, dialect, query)),

    listHistory: (linkId, page) => reading(listHistory(reader, linkId, page)),

    listEvents: (page) => reading(listEvents(reader, page)),

    takeNumbers: (count) => writes.run(1, (db) => takeKeyNumbers(db, count)),
  };
}

async function listHistory(
  db: Kysely<Tables>,
  linkId: number,
  { limit, beforeVersion }: Parameters<LinkStore['listHistory']>[1],
): ReturnType<LinkStore['listHistory']> {
  const rows = await db
    .selectFrom('events')
    .leftJoin('events as earlier', (join) =>
      join
        .onRef('earlier.link_id', '=', 'events.link_id')
        .on((eb) => eb('earlier.version', '=', eb('events.version', '-', 1))),
    )
    .selectAll('events')
    .select('earlier.options as before')
    .where('events.link_id', '=', linkId)
    .where('events.options', 'is not', null)
    .$narrowType<{ options: string }>()
    .$if(beforeVersion !== null, (query) =>
      query.where('events.version', '<', namedVersion(beforeVersion as number)),
    )
    .orderBy('events.version', 'desc')
    .limit(limit)
    .execute();
  return rows.map(({ options, before, ...row }) => ({
    ...toEvent({ ...row, options }),
    options: parseOptions(options),
    before: before === null ? null : parseOptions(before),
  }));
}

async function listEvents(
  db: Kysely<Tables>,
  page: Parameters<LinkStore['listEvents']>[0],
): Promise<readonly LinkEvent[]> {
  const events = db.selectFrom('events').selectAll().limit(page.limit);
  const rows =
    'after' in page
      ? await events.where('seq', '>', page.after).orderBy('seq', 'asc').execute()
      : await events
          .$if(page.before !== null, (query) => query.where('seq', '<', page.before))
          .orderBy('seq', 'desc')
          .execute();
  return rows.map(toEvent);
}
