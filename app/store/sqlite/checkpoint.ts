/**
 * Moves the WAL into links.db once it is long, as SQLite would do by itself, but not inside the commit that made it long:
 * whoever waits for the commit is answered first, and redirects have a turn in between (measured after 5 MB of links: 40 ms
 * for the commit, 40 ms for this).
 */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../../kernel/portions.ts';
import type { Tables } from '../tables.ts';

/** SQLite's own default (https://www.sqlite.org/pragma.html#pragma_wal_autocheckpoint): 4 MB. */
const PAGES_MAX = 1000;

/** Outside of a transaction. */
export async function checkpointWhenDue(db: Kysely<Tables>): Promise<void> {
  try {
    if ((await countPages(db)) < PAGES_MAX) return;
    await nextTurn();
    await sql`pragma wal_checkpoint(passive)`.execute(db);
  } catch {
    // The WAL holds what was committed: nothing is lost, the next commit meets the same disk and tells, and tries this again.
  }
}

/** Pages of the WAL that are not in the file yet. */
async function countPages(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ log: number; checkpointed: number }>`pragma wal_checkpoint(noop)`.execute(db);
  return rows.reduce((sum, { log, checkpointed }) => sum + log - checkpointed, 0);
}
