/** The service level by minute, over Kysely. */

import type { Kysely } from 'kysely';
import { SLI_DAYS, type SliStore, type SliTally } from '../health/sli.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import type { OpenDatabase } from './sqlite/open-database.ts';
import type { Tables } from './tables.ts';

export interface SliStoreDeps {
  /** The file as it is open now. Throws AppError unavailable while there is none. */
  readonly open: () => Pick<OpenDatabase, 'reader' | 'writer'>;
  readonly dialect: Dialect;
}

const MINUTES_A_DAY = 24 * 60;

export function createSliStore({ open, dialect }: SliStoreDeps): SliStore {
  const reading = createReading(dialect);
  return {
    addToMinute: async (minute, tally) =>
      reading(dialect.transaction(open().writer, (db) => addToMinute(db, minute, tally))),
    sumSince: async (minute) => reading(sumSince(open().reader, minute)),
  };
}

async function addToMinute(db: Kysely<Tables>, minute: number, { good, total }: SliTally): Promise<void> {
  await db
    .insertInto('sli_minutes')
    .values({ minute, good, total })
    .onConflict((conflict) =>
      conflict.column('minute').doUpdateSet((eb) => ({
        good: eb('sli_minutes.good', '+', good),
        total: eb('sli_minutes.total', '+', total),
      })),
    )
    .execute();
  await db
    .deleteFrom('sli_minutes')
    .where('minute', '<', minute - SLI_DAYS * MINUTES_A_DAY)
    .execute();
}

async function sumSince(db: Kysely<Tables>, minute: number): Promise<SliTally> {
  const { good, total } = await db
    .selectFrom('sli_minutes')
    .select((eb) => [
      eb.fn.sum<number | null>('good').as('good'),
      eb.fn.sum<number | null>('total').as('total'),
    ])
    .where('minute', '>=', minute)
    .executeTakeFirstOrThrow();
  return { good: Number(good ?? 0), total: Number(total ?? 0) };
}
