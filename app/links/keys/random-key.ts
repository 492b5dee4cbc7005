/**
 * One cryptographically random key in base 62: nobody can know it before it is given out.
 */

import { BASE62, isUsableKey } from '../key.ts';
import type { KeyStrategyDeps } from './key-strategy.ts';

/** 248 = 4 · 62: bytes from there on are thrown away, because a remainder of them would favour the first letters. */
const UNBIASED_BELOW = 248;

export function createRandomKey(length: number, randomBytes: KeyStrategyDeps['randomBytes']): string {
  let key = '';
  while (key.length < length) {
    for (const byte of randomBytes(length - key.length)) {
      if (byte < UNBIASED_BELOW) key += BASE62.charAt(byte % 62);
    }
  }
  return isUsableKey(key) ? key : createRandomKey(length, randomBytes);
}
