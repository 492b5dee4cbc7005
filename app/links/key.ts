/**
 * What may be a key: 1 to 64 characters of A–Z a–z 0–9 - _, case kept, and none of the words that a page of ours needs.
 * The rule holds for custom and for generated keys alike.
 */

import type { FieldFault } from '../kernel/errors.ts';

export const KEY_LENGTH_MAX = 64;
export const KEY_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

/** The 62 characters that generated keys are made of. */
export const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Compared without regard to case: `/API` must not come to look like ours. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set(
  (
    'api dashboard shorten healthz readyz metrics drain docs config jobs admin login logout static assets report ' +
    'favicon.ico robots.txt .well-known sitemap.xml'
  ).split(' '),
);

export function isReserved(key: string): boolean {
  return RESERVED_WORDS.has(key.toLowerCase());
}

export function isUsableKey(key: string): boolean {
  return KEY_PATTERN.test(key) && !isReserved(key);
}

/** The fault of a custom key, or null when it may be used. */
export function findKeyFault(key: string, field = 'key'): FieldFault | null {
  if (!KEY_PATTERN.test(key)) {
    return { field, message: `expected 1 to ${KEY_LENGTH_MAX} characters of A–Z a–z 0–9 - _` };
  }
  return isReserved(key) ? { field, message: `"${key}" is reserved; choose another key` } : null;
}
