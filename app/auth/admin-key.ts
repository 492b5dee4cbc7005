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

/** Makes the key of ADMIN_API_KEY what the variable says; null removes it. */
export async function applyEnvironmentKey(
  { store, clock }: AdminKeyDeps,
  secret: string | null,
): Promise<void> {
  await store.replaceEnvironmentKey(
    secret === null ? null : { hash: hashSecret(secret), createdAtMs: clock.nowMs() },
  );
}

/**
 * Makes a key when none can administrate for ever. It is handed over before it is stored: should the process die in
 * between, the next start makes another one, and nobody is locked out.
 */
export async function ensureAdminKey(
  { store, clock, randomBytes }: AdminKeyDeps,
  handOver: (secret: string) => void,
): Promise<void> {
  const keys = await store.listKeys();
  if (keys.some(({ scopes, expiresAtMs }) => scopes.includes('admin') && expiresAtMs === null)) return;
  const secret = createSecret(randomBytes);
  handOver(secret);
  await store.insertKey(
    {
      name: 'first run',
      scopes: ['admin'],
      origin: 'first-run',
      createdAtMs: clock.nowMs(),
      expiresAtMs: null,
    },
    hashSecret(secret),
  );
}
