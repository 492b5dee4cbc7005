/** Keys of links that look like another one, over Kysely: through the indexes that are there, a bounded number of rows each. */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../kernel/portions.ts';
import { PRIMARY_DOMAIN } from '../links/link.ts';
import type { NearKeyStore } from '../links/near-keys.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import { foldCase } from './search-text.ts';
import type { Tables } from './tables.ts';

/** Keys asked for by one statement: about 1 ms. */
const KEYS_MAX = 500;
/** Rows that the search index proposes. */
const PROPOSED_MAX = 1000;

export function createNearKeyStore({
  reader,
  dialect,
}: {
  reader: Kysely<Tables>;
  dialect: Dialect;
}): NearKeyStore {
  const reading = createReading(dialect);
  const owned = () =>
    reader.selectFrom('links').select('key').where('domain', '=', PRIMARY_DOMAIN).where('released', '=', 0);

  async function findExisting(keys: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (let start = 0; start < keys.length; start += KEYS_MAX) {
      const portion = keys.slice(start, start + KEYS_MAX);
      // Filled up, so that it is one text of SQL, which stays prepared.
      const filled = Array.from({ length: KEYS_MAX }, (_, index) => portion[index] ?? '');
      found.push(...(await owned().where('key', 'in', filled).execute()).map(({ key }) => key));
      await nextTurn();
    }
    return found;
  }

  async function findSameLetters(key: string): Promise<string[]> {
    const source = await dialect.searchSource(reader, foldCase(key));
    if (source === null) return findExisting(casesOf(key));
    const { id, from, where, narrowed = where } = source;
    const rows = await owned()
      .where(
        sql<boolean>`id in (select id from (select ${id} as id from ${from} where ${narrowed} limit ${PROPOSED_MAX}) as proposed)`,
      )
      .where(sql<boolean>`lower(key) = ${key.toLowerCase()}`)
      .execute();
    await nextTurn();
    return rows.map((row) => row.key);
  }

  async function findNeighbours(key: string, prefix: string, limit: number): Promise<string[]> {
    // Behind the last character that a key can have.
    const end = `${prefix}~`;
    const before = await owned()
      .where('key', '>=', prefix)
      .where('key', '<', key)
      .orderBy('key', 'desc')
      .limit(limit)
      .execute();
    const behind = await owned()
      .where('key', '>', key)
      .where('key', '<', end)
      .orderBy('key')
      .limit(limit)
      .execute();
    await nextTurn();
    return [...before, ...behind].map((row) => row.key);
  }

  return {
    findExisting: (keys) => reading(findExisting(keys)),
    findSameLetters: (key) => reading(findSameLetters(key)),
    findNeighbours: (...args) => reading(findNeighbours(...args)),
  };
}

/** Every way to write a key of the one or two characters that the search index does not know. */
function casesOf(key: string): string[] {
  return [...key].reduce<string[]>(
    (starts, character) =>
      starts.flatMap((start) => [start + character.toLowerCase(), start + character.toUpperCase()]),
    [''],
  );
}
