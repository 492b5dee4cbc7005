/**
 * The table of key strategies by the name that KEY_STRATEGY gives.
 */

import { createCounterStrategy } from './counter-strategy.ts';
import { createHashStrategy } from './hash-strategy.ts';
import type { KeyStrategy, KeyStrategyDeps } from './key-strategy.ts';
import { createRandomStrategy } from './random-strategy.ts';

const STRATEGIES = {
  random: createRandomStrategy,
  counter: createCounterStrategy,
  hash: createHashStrategy,
} as const satisfies Record<string, (deps: KeyStrategyDeps) => KeyStrategy>;

export type KeyStrategyName = keyof typeof STRATEGIES;

export const KEY_STRATEGY_NAMES = Object.keys(STRATEGIES) as readonly KeyStrategyName[];

export function createKeyStrategy(name: KeyStrategyName, deps: KeyStrategyDeps): KeyStrategy {
  return STRATEGIES[name](deps);
}
