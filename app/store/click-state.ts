/** Single numbers that belong to the clicks of one database. */

import type { Kysely } from 'kysely';
import type { ClickStateName, Tables } from './tables.ts';

/** Null: there is none yet. */
export async function readState(db: Kysely<Tables>, name: ClickStateName): Promise<number | null> {
  const row = await db.selectFrom('click_state').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? null;
}

export async function writeState(db: Kysely<Tables>, name: ClickStateName, value: number): Promise<void> {
  await db
    .insertInto('click_state')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
}

export async function addToState(db: Kysely<Tables>, name: ClickStateName, value: number): Promise<void> {
  await db
    .insertInto('click_state')
    .values({ name, value })
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet((eb) => ({ value: eb('click_state.value', '+', value) })),
    )
    .execute();
}

/** Without effect where it is as high already. */
export async function raiseState(db: Kysely<Tables>, name: ClickStateName, value: number): Promise<void> {
  await db
    .insertInto('click_state')
    .values({ name, value })
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet({ value }).where('click_state.value', '<', value),
    )
    .execute();
}
