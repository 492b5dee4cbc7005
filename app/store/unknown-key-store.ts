/** Unknown keys over Kysely: at most `KEYS_A_DAY` of each day, for `DAYS` days. */

import { type Kysely, sql } from 'kysely';
import { nextTurn } from '../kernel/portions.ts';
import type { UnknownKeyHits, UnknownKeyStore } from '../stats/unknown-keys.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import type { Tables } from './tables.ts';

export interface UnknownKeyStoreDeps {
  /** Throw AppError unavailable while the file cannot be used. */
  readonly reader: () => Kysely<Tables>;
  readonly writer: () => Kysely<Tables>;
  readonly dialect: Dialect;
}

export const KEYS_A_DAY = 2000;
export const DAYS = 30;
/** Days read by one statement, about 5 ms. */
const DAYS_MAX = 3;

export function createUnknownKeyStore({ reader, writer, dialect }: UnknownKeyStoreDeps): UnknownKeyStore {
  const reading = createReading(dialect);

  async function list(sinceDay: number, limit: number): Promise<UnknownKeyHits[]> {
    const db = reader();
    const found = new Map<string, UnknownKeyHits>();
    const last = await db
      .selectFrom('unknown_keys')
      .select('day')
      .orderBy('day', 'desc')
      .limit(1)
      .executeTakeFirst();
    const lastDay = last?.day ?? -1;
    for (let day = Math.max(sinceDay, lastDay - DAYS + 1); day <= lastDay; day += DAYS_MAX) {
      const rows = await db
        .selectFrom('unknown_keys')
        .selectAll()
        .where('day', '>=', day)
        .where('day', '<', day + DAYS_MAX)
        .execute();
      for (const row of rows) addTo(found, row);
      await nextTurn();
    }
    return [...found.values()]
      .sort((a, b) => b.hits - a.hits || b.lastSeenMs - a.lastSeenMs || (a.key < b.key ? -1 : 1))
      .slice(0, limit);
  }

  return {
    addUnknownKeys: (day, keys) => reading(dialect.transaction(writer(), (db) => upsert(db, day, keys))),
    pruneUnknownKeys: (day) => reading(dialect.transaction(writer(), (db) => prune(db, day))),
    listUnknownKeys: (sinceDay, limit) => reading(list(sinceDay, limit)),
  };
}

async function upsert(db: Kysely<Tables>, day: number, keys: readonly UnknownKeyHits[]): Promise<void> {
  const rows = keys.map(({ key, hits, lastSeenMs }) => ({ day, key, hits, last_seen_ms: lastSeenMs }));
  await db
    .insertInto('unknown_keys')
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(['day', 'key']).doUpdateSet({
        hits: sql`unknown_keys.hits + excluded.hits`,
        last_seen_ms: sql`case when excluded.last_seen_ms > unknown_keys.last_seen_ms
          then excluded.last_seen_ms else unknown_keys.last_seen_ms end`,
      }),
    )
    .execute();
}

/** The least hit ones go, of equals the ones that were seen longest ago. */
async function prune(db: Kysely<Tables>, day: number): Promise<void> {
  await sql`delete from unknown_keys where day = ${day} and key in (
    select key from unknown_keys where day = ${day}
    order by hits desc, last_seen_ms desc, key limit ${KEYS_A_DAY} offset ${KEYS_A_DAY})`.execute(db);
  await db
    .deleteFrom('unknown_keys')
    .where('day', '<=', day - DAYS)
    .execute();
}

function addTo(
  found: Map<string, UnknownKeyHits>,
  row: { key: string; hits: number | string; last_seen_ms: number },
): void {
  const known = found.get(row.key);
  found.set(row.key, {
    key: row.key,
    hits: Number(row.hits) + (known?.hits ?? 0),
    lastSeenMs: Math.max(row.last_seen_ms, known?.lastSeenMs ?? 0),
  });
}
