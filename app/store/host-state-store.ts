/** What a host remembers of itself, in a file of its own: links.db, or copy.db where its links live in a database that hosts share. */

import type { Kysely } from 'kysely';
import type { DrainStore } from '../health/drain.ts';
import type { Dialect } from './dialect.ts';
import type { GroupCommit } from './group-commit.ts';
import { createReading } from './reading.ts';
import type { Tables } from './tables.ts';

const DRAIN_UNTIL_MS = 'drain_until_ms';

export interface HostStateStoreDeps {
  readonly reader: Kysely<Tables>;
  readonly writes: GroupCommit;
  readonly dialect: Dialect;
}

export function createHostStateStore({ reader, writes, dialect }: HostStateStoreDeps): DrainStore {
  const reading = createReading(dialect);

  return {
    async readDrainUntilMs() {
      const row = await reading(
        reader.selectFrom('host_state').select('value').where('name', '=', DRAIN_UNTIL_MS).executeTakeFirst(),
      );
      return row?.value ?? null;
    },

    async writeDrainUntilMs(untilMs) {
      await writes.run(1, async (db) => {
        await db.deleteFrom('host_state').where('name', '=', DRAIN_UNTIL_MS).execute();
        if (untilMs === null) return;
        await db.insertInto('host_state').values({ name: DRAIN_UNTIL_MS, value: untilMs }).execute();
      });
    },
  };
}
