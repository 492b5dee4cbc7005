/**
 * The seam for making keys. A strategy proposes; the database's UNIQUE decides. A new strategy is one file and one line in
 * create-key-strategy.ts; no call site changes.
 */

import type { LinkOptions } from '../link.ts';
import type { LinkStore } from '../link-store.ts';

/** How many keys a creation tries before it answers 503. */
export const CANDIDATES = 5;

export interface KeyStrategy {
  /** True: a live link at a proposed key with equal options and creator is the answer, not a collision. */
  readonly reuseEqual: boolean;
  /** For each of the options up to `CANDIDATES` distinct keys in order of preference, none of them reserved. */
  propose(options: readonly LinkOptions[]): Promise<readonly (readonly string[])[]>;
}

export interface KeyStrategyDeps {
  /** The length of generated keys, or the least length where a strategy cannot fix it. */
  readonly keyLength: number;
  /** `size` random bytes. */
  readonly randomBytes: (size: number) => Uint8Array;
  readonly takeNumbers: LinkStore['takeNumbers'];
}
