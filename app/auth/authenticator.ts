/**
 * Who is asking: from a secret to a principal. Wrong secrets are counted per client, so that trying many is answered with
 * 429; what keeps a key from being guessed is its length.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../kernel/clock.ts';
import { AppError } from '../kernel/errors.ts';
import {
  ANONYMOUS,
  type ApiKey,
  type ApiKeyStore,
  hashSecret,
  isSameHash,
  type Principal,
} from './api-key.ts';

export interface AuthenticatorDeps {
  readonly store: ApiKeyStore;
  readonly clock: Clock;
  /** Counts a failure of a client: 0, or the seconds that it has to wait. */
  readonly failures: { take(client: string): number };
  /** A use could not be noted down; the request goes on. */
  readonly onTouchFailed: (error: unknown) => void;
}

/** Throws unauthorized for a wrong or expired secret, rate_limited after too many of them. Null secret: anonymous. */
export type Authenticator = (secret: string | null, client: string) => Promise<Principal>;

/** "Last used" is kept to the minute: more would make each read a write. */
const TOUCH_EVERY_MS = 60_000;
/** There are at most as many keys. */
const TOUCHES_MAX = 1000;

export function createAuthenticator({
  store,
  clock,
  failures,
  onTouchFailed,
}: AuthenticatorDeps): Authenticator {
  const touches = new LRUCache<number, number>({ max: TOUCHES_MAX });

  return async (secret, client) => {
    if (secret === null) return ANONYMOUS;
    const hash = hashSecret(secret);
    const found = await store.findKeyByHash(hash);
    const nowMs = clock.nowMs();
    if (found === null || !isSameHash(found.hash, hash) || isExpired(found.key.expiresAtMs, nowMs)) {
      throw refuse(client);
    }
    touch(found.key, nowMs);
    return { id: `api-key:${found.key.id}`, scopes: new Set(found.key.scopes) };
  };

  /** Right keys pass all the same: whoever shares an address with a guesser must not be locked out. */
  function refuse(client: string): AppError {
    const waitSeconds = failures.take(client);
    if (waitSeconds === 0) {
      return new AppError('unauthorized', 'The API key is not valid: unknown, deleted or expired.');
    }
    const message = `Too many wrong API keys came from this address. Try again in ${waitSeconds} s.`;
    return new AppError('rate_limited', message, { retryAfterSeconds: waitSeconds });
  }

  /** Tried at most once a minute for each key, also while it fails: a full disk must not fill the log. */
  function touch({ id, lastUsedAtMs }: ApiKey, nowMs: number): void {
    const touchedAtMs = touches.get(id) ?? lastUsedAtMs;
    if (touchedAtMs !== null && nowMs - touchedAtMs < TOUCH_EVERY_MS) return;
    touches.set(id, nowMs);
    store.touchKey(id, nowMs).catch(onTouchFailed);
  }
}

function isExpired(expiresAtMs: number | null, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs;
}
