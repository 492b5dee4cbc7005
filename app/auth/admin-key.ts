/**
 * The key that makes a new installation usable: ADMIN_API_KEY when it is set, otherwise one that the first start makes and
 * hands over once.
 */

import type { Clock } from '../kernel/clock.ts';
import { type ApiKeyStore, createSecret, hashSecret } from './api-key.ts';

export interface AdminKeyDeps {
  readonly store: ApiKeyStore;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

export interface AdminKeyOptions {
  /** ADMIN_API_KEY; null: not set. */
  readonly given: string | null;
  /** Takes the secret of a key that is being made, the only time that it is seen. When it throws, no key is made. */
  readonly handOver: (secret: string) => void;
}

/**
 * Makes the key of ADMIN_API_KEY what the variable says, and makes a key where none can administrate for ever. It is handed
 * over before it is committed: should the process die in between, the next start makes another one, and nobody is locked
 * out. Of processes that start together one makes it.
 */
export async function ensureAdminKey(
  { store, clock, randomBytes }: AdminKeyDeps,
  { given, handOver }: AdminKeyOptions,
): Promise<void> {
  const createdAtMs = clock.nowMs();
  await store.replaceEnvironmentKey(given === null ? null : { hash: hashSecret(given), createdAtMs });
  await store.insertFirstAdminKey(
    { name: 'first run', scopes: ['admin'], origin: 'first-run', createdAtMs, expiresAtMs: null },
    () => {
      const secret = createSecret(randomBytes);
      handOver(secret);
      return hashSecret(secret);
    },
  );
}
