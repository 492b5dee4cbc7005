/**
 * `random`: cryptographically random base 62. With 7 characters there are 3.5·10¹² keys, so that with a million links a
 * proposal collides once in 3.5 million times and five in a row never.
 */

import type { LinkOptions } from '../link.ts';
import { CANDIDATES, type KeyStrategy, type KeyStrategyDeps } from './key-strategy.ts';
import { createRandomKey } from './random-key.ts';

export function createRandomStrategy({ keyLength, randomBytes }: KeyStrategyDeps): KeyStrategy {
  return {
    reuseEqual: false,
    async propose(options: readonly LinkOptions[]) {
      return options.map(() =>
        Array.from({ length: CANDIDATES }, () => createRandomKey(keyLength, randomBytes)),
      );
    },
  };
}
