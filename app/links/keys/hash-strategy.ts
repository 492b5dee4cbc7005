/**
 * `hash`: the key follows from the target, so that shortening the same target twice gives the same link. Where the key
 * stands for something else by now, the next of five salts is tried.
 */

import { createHash } from 'node:crypto';
import { BASE62, isUsableKey } from '../key.ts';
import type { LinkOptions } from '../link.ts';
import { CANDIDATES, type KeyStrategy, type KeyStrategyDeps } from './key-strategy.ts';

export function createHashStrategy({ keyLength }: KeyStrategyDeps): KeyStrategy {
  return {
    reuseEqual: true,
    async propose(options: readonly LinkOptions[]) {
      return options.map(({ url }) => candidatesFor(url, keyLength));
    },
  };
}

function candidatesFor(url: string, length: number): string[] {
  const keys = Array.from({ length: CANDIDATES }, (_, salt) => hashKey(url, salt, length));
  return keys.filter(isUsableKey);
}

/** The digest as one number, written in base 62: 256 bits hold 42 letters, more than any key length that is allowed. */
function hashKey(url: string, salt: number, length: number): string {
  let rest = BigInt(`0x${createHash('sha256').update(`${salt}\n${url}`).digest('hex')}`);
  let key = '';
  while (key.length < length) {
    key += BASE62.charAt(Number(rest % 62n));
    rest /= 62n;
  }
  return key;
}
