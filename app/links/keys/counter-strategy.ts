/**
 * `counter`: the next number of a counter in the database, written with sqids so that neighbours do not look it. The
 * shortest keys of the three, never reused, also after a restart. Numbers are taken in blocks, so that a creation costs one
 * commit and not two; a block that a stop cuts short leaves a gap.
 *
 * Whoever has seen one key can work out the next ones, and could stop every creation by taking them as custom keys. So the
 * last candidate follows from nothing: it is random, and long enough that the keys of its length cannot be used up.
 */

import Sqids from 'sqids';
import { BASE62, isUsableKey } from '../key.ts';
import type { LinkOptions } from '../link.ts';
import { CANDIDATES, type KeyStrategy, type KeyStrategyDeps } from './key-strategy.ts';
import { createRandomKey } from './random-key.ts';

const BLOCK = 100;
/** 5·10¹⁹ keys. With KEY_LENGTH=4 there would be 15 million, which the counter itself uses up. */
const RANDOM_LENGTH_MIN = 11;

export function createCounterStrategy({ keyLength, randomBytes, takeNumbers }: KeyStrategyDeps): KeyStrategy {
  const sqids = new Sqids({ alphabet: SHUFFLED_BASE62, minLength: keyLength });
  const numbers: number[] = [];
  let refill: Promise<void> | null = null;

  /** One refill at a time: whoever finds the block too small waits for the one under way and looks again. */
  async function take(count: number): Promise<number[]> {
    while (numbers.length < count) {
      refill ??= takeBlock(Math.max(BLOCK, count)).finally(() => {
        refill = null;
      });
      await refill;
    }
    return numbers.splice(0, count);
  }

  async function takeBlock(size: number): Promise<void> {
    const first = await takeNumbers(size);
    for (let offset = 0; offset < size; offset++) numbers.push(first + offset);
  }

  /** The number alone, then the number with a second one behind it, which no other number can make; at last a random key. */
  function candidatesFor(number: number): string[] {
    const keys = [sqids.encode([number])];
    for (let salt = 0; keys.length < CANDIDATES - 1; salt++) keys.push(sqids.encode([number, salt]));
    const random = createRandomKey(Math.max(keyLength, RANDOM_LENGTH_MIN), randomBytes);
    return [...keys.filter(isUsableKey), random];
  }

  return {
    reuseEqual: false,
    async propose(options: readonly LinkOptions[]) {
      return (await take(options.length)).map(candidatesFor);
    },
  };
}

/** A fixed shuffle: it decides what number 1 looks like, so it must never change once links exist. */
const SHUFFLED_BASE62 = [...BASE62].map((_, index) => BASE62.charAt((index * 37 + 11) % 62)).join('');
