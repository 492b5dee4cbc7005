/** Which links were purged, for whoever keeps something of theirs elsewhere. */

import { type Kysely, sql } from 'kysely';
import type { PurgedLinks } from '../clicks/purger.ts';
import type { Dialect } from './dialect.ts';
import { createReading } from './reading.ts';
import type { Tables } from './tables.ts';

/** Changes looked through at a time: about 1 ms. */
const CHANGES_MAX = 5000;

export function createPurgedLinks({
  reader,
  dialect,
}: {
  reader: Kysely<Tables>;
  dialect: Dialect;
}): PurgedLinks {
  const reading = createReading(dialect);

  return {
    async listPurged(afterSeq) {
      const { rows } = await reading(
        sql<{ seq: number; link_id: number | null }>`
          with changes as (select seq, link_id, type from events where seq > ${afterSeq} order by seq limit ${CHANGES_MAX})
          select seq, link_id from changes where type = 'purged'
          union all select max(seq), null from changes having max(seq) is not null`.execute(reader),
      );
      const linkIds = rows.flatMap(({ link_id }) => (link_id === null ? [] : [link_id]));
      return { linkIds, seq: rows.at(-1)?.seq ?? afterSeq };
    },
  };
}
