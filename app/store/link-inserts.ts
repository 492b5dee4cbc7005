/** The inserts that run for each new link, compiled once for each database. */

import { type Insertable, type Kysely, sql } from 'kysely';
import { compileOnce } from './compiled.ts';
import type { LinkRow } from './link-rows.ts';
import type { EventTable, Tables } from './tables.ts';

export interface LinkInserts {
  /** The id, or null when the key has an owner: the unique index decides. */
  link(db: Kysely<Tables>, row: LinkRow): Promise<number | null>;
  event(db: Kysely<Tables>, row: Insertable<EventTable>): Promise<void>;
}

/** As the index `links_key_owner` says it: a parameter would not name the index. */
const OWNS_KEY = sql<boolean>`released = 0`;

export function createLinkInserts(): LinkInserts {
  const insertLink = compileOnce((db, row: LinkRow) =>
    db
      .insertInto('links')
      .values(row)
      .onConflict((conflict) => conflict.columns(['domain', 'key']).where(OWNS_KEY).doNothing())
      .returning('id')
      .compile(),
  );
  const insertEvent = compileOnce((db, row: Insertable<EventTable>) =>
    db.insertInto('events').values(row).compile(),
  );
  return {
    async link(db, row) {
      const [inserted] = await insertLink(db, row);
      return inserted?.id ?? null;
    },
    async event(db, row) {
      await insertEvent(db, row);
    },
  };
}
