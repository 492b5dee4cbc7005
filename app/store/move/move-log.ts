/**
 * What a move remembers, in the database that it fills: whose files it takes, and how far it came. As long as the table is there no
 * host may start on that database.
 */

import { type Kysely, sql } from 'kysely';
import { StartError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import type { Tables } from '../tables.ts';
import type { Row } from './table-shape.ts';

export interface Place {
  /** The key of the last row that was copied. */
  readonly after: Row | null;
  readonly rows: number;
  /** Nothing is left to copy. */
  readonly isWhole: boolean;
}

export interface MoveLog {
  readPlace(db: Kysely<Tables>, table: string): Promise<Place>;
  writePlace(db: Kysely<Tables>, table: string, place: Place): Promise<void>;
}

const TABLE = 'moving';
const SOURCE = 'source';
const NOWHERE: Place = { after: null, rows: 0, isWhole: false };

export function isBeingFilled(db: Kysely<Tables>, dialect: Pick<Dialect, 'hasTable'>): Promise<boolean> {
  return dialect.hasTable(db, TABLE);
}

/** Goes on where a move of `source` was. Throws StartError where somebody else moves to, or where there is something already. */
export async function openMoveLog(db: Kysely<Tables>, dialect: Dialect, source: string): Promise<MoveLog> {
  await dialect.transaction(db, async (connection) => {
    if (await isBeingFilled(connection, dialect)) {
      if ((await read(connection, SOURCE)) === source) return;
      throw new StartError(
        'Another move fills this database, or one of other files did. Empty it and try again.',
      );
    }
    const { rows } = await sql<{ isEmpty: boolean }>`
      select not exists (select 1 from links) and not exists (select 1 from events)
        and not exists (select 1 from segments) and not exists (select 1 from sequences where name = 'database') as "isEmpty"`.execute(
      connection,
    );
    if (rows[0]?.isEmpty !== true) {
      throw new StartError(
        'A host has worked with this database already, or there are links or clicks in it. Move to one that is empty.',
      );
    }
    await sql`create table ${sql.table(TABLE)} (name text primary key, value text not null)`.execute(
      connection,
    );
    await write(connection, SOURCE, source);
  });
  return {
    async readPlace(connection, table) {
      const text = await read(connection, `rows of ${table}`);
      return text === null ? NOWHERE : (JSON.parse(text) as Place);
    },
    writePlace: (connection, table, place) => write(connection, `rows of ${table}`, JSON.stringify(place)),
  };
}

export async function closeMoveLog(db: Kysely<Tables>): Promise<void> {
  await sql`drop table ${sql.table(TABLE)}`.execute(db);
}

async function read(db: Kysely<Tables>, name: string): Promise<string | null> {
  const { rows } = await sql<{ value: string }>`select value from moving where name = ${name}`.execute(db);
  return rows[0]?.value ?? null;
}

async function write(db: Kysely<Tables>, name: string, value: string): Promise<void> {
  await sql`
    insert into moving (name, value) values (${name}, ${value})
    on conflict (name) do update set value = excluded.value`.execute(db);
}
