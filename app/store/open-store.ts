/** What a host keeps: everything itself, or with others in a shared database. */

import { type OpenFleetStoreOptions, openFleetStore } from './open-fleet-store.ts';
import { openSqliteStore } from './sqlite/open-store.ts';
import type { Store } from './store.ts';

export type StoreOptions = Omit<OpenFleetStoreOptions, 'databaseUrl'> & {
  /** Null: SQLite alone. */
  readonly databaseUrl: string | null;
};

/** Throws StartError with one sentence for the operator. */
export function openStore({ databaseUrl, ...options }: StoreOptions): Promise<Store> {
  return databaseUrl === null ? openSqliteStore(options) : openFleetStore({ ...options, databaseUrl });
}
