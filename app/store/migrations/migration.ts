/** One step of the schema. */

import type { Kysely } from 'kysely';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';

export interface Migration {
  /** 1, 2, 3 … without a gap; also the version of the code that needs it. */
  readonly version: number;
  /** The oldest code version that can work with the schema after this migration. */
  readonly readableFrom: number;
  up(db: Kysely<Tables>, dialect: Dialect): Promise<void>;
}
