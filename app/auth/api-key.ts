/**
 * API keys: who may do what. A secret is shown once and kept only as its SHA-256: it is random enough (256 bits) that a
 * slow password hash would add nothing.
 */

import { createHash, timingSafeEqual } from 'node:crypto';

export const SCOPES = ['links:read', 'links:write', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/**
 * `user`: made through the API · `first-run`: made by the first start · `environment`: ADMIN_API_KEY, replaced when the
 * variable changes and removed when it is gone.
 */
export type ApiKeyOrigin = 'user' | 'first-run' | 'environment';

export interface ApiKey {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly origin: ApiKeyOrigin;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  /** To the minute. */
  readonly lastUsedAtMs: number | null;
}

export type NewApiKey = Omit<ApiKey, 'id' | 'lastUsedAtMs'>;

/** Who is asking. `id` is what `created_by` and the history say. */
export interface Principal {
  readonly id: string;
  readonly scopes: ReadonlySet<Scope>;
}

export const ANONYMOUS: Principal = { id: 'anonymous', scopes: new Set() };

export type DeleteKeyOutcome = 'deleted' | 'not_found' | 'environment' | 'last_admin';

/** Keys that may be valid at a time: nobody can look after more, and the list has one page. */
export const API_KEYS_MAX = 1000;

export interface ApiKeyStore {
  /**
   * Null when there are `API_KEYS_MAX` keys that are not expired at `createdAtMs`; only a key of origin `user` is ever
   * refused.
   */
  insertKey(key: NewApiKey, hash: string): Promise<ApiKey | null>;
  /**
   * Inserts a key unless one can administrate for ever (null). Looking and inserting are one step, so that of processes
   * that start together one inserts. `handOver` gives the secret to its owner and returns its hash; what it throws is
   * passed on, and nothing is inserted.
   */
  insertFirstAdminKey(key: NewApiKey, handOver: () => string): Promise<ApiKey | null>;
  /** By the whole hash; the hash comes along so that the caller compares in constant time. */
  findKeyByHash(hash: string): Promise<{ key: ApiKey; hash: string } | null>;
  listKeys(): Promise<readonly ApiKey[]>;
  /** Removes a key unless it is the environment's, or the last one that can administrate for ever. */
  deleteKey(id: number): Promise<DeleteKeyOutcome>;
  /** Makes `hash` the only key of origin `environment`, or removes it (null). */
  replaceEnvironmentKey(key: { hash: string; createdAtMs: number } | null): Promise<void>;
  touchKey(id: number, usedAtMs: number): Promise<void>;
}

/** `fl_` lets secret scanners recognise a leaked key. */
export function createSecret(randomBytes: (size: number) => Buffer): string {
  return `fl_${randomBytes(32).toString('base64url')}`;
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function isSameHash(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** `admin` includes the others. */
export function hasScope(principal: Principal, scope: Scope): boolean {
  return principal.scopes.has(scope) || principal.scopes.has('admin');
}
