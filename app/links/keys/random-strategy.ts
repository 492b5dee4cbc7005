/**
 * `random`: cryptographically random base 62. With 7 characters there are 3.5·10¹² keys, so that with a million links a
 * proposal collides once in 3.5 million times and five in a row never.
 */

import { BASE62, isUsableKey } from '../key.ts';
import type { LinkOptions } from '../link.ts';
import { CANDIDATES, type KeyStrategy, type KeyStrategyDeps } from './key-strategy.ts';

export function createRandomStrategy({ keyLength, randomBytes }: KeyStrategyDeps): KeyStrategy {
  return {
    reuseEqual: false,
    async propose(options: readonly LinkOptions[]) {
      return options.map(() => Array.from({ length: CANDIDATES }, () => randomKey(keyLength, randomBytes)));
    },
  };
}

/** 248 = 4 · 62: bytes from there on are thrown away, because a remainder of them would favour the first letters. */
const UNBIASED_BELOW = 248;

function randomKey(length: number, randomBytes: (size: number) => Uint8Array): string {
  let key = '';
  while (key.length < length) {
    for (const byte of randomBytes(length - key.length)) {
      if (byte < UNBIASED_BELOW) key += BASE62.charAt(byte % 62);
    }
  }
  return isUsableKey(key) ? key : randomKey(length, randomBytes);
}
