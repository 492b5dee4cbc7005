/** The salts of visitors that hosts share, so that a visitor is the same on each of them. */

import type { Kysely } from 'kysely';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

export interface SharedSalts {
  /** The salt of a day: `offered` where there is none yet. */
  agree(day: number, offered: string): Promise<string>;
}

export function createSharedSalts(db: Kysely<Tables>, dialect: Dialect): SharedSalts {
  const reading = createReading(dialect);

  async function agree(day: number, offered: string): Promise<string> {
    const find = () => db.selectFrom('salts').select('salt').where('day', '=', day);
    const known = await find().executeTakeFirst();
    if (known !== undefined) return known.salt;
    await db
      .insertInto('salts')
      .values({ day, salt: offered })
      .onConflict((conflict) => conflict.column('day').doNothing())
      .execute();
    return (await find().executeTakeFirstOrThrow()).salt;
  }

  return { agree: (...args) => reading(agree(...args)) };
}
