import fc from 'fast-check';
import t from 'tap';
import { BASE62, isUsableKey } from '../../app/links/key.ts';
import { createKeyStrategy, KEY_STRATEGY_NAMES } from '../../app/links/keys/create-key-strategy.ts';
import { CANDIDATES, type KeyStrategy } from '../../app/links/keys/key-strategy.ts';
import { DEFAULT_LINK_OPTIONS, type LinkOptions } from '../../app/links/link.ts';
import { propertyRuns } from '../support/property.ts';

/** Bytes that a seed decides (mulberry32). */
function seededBytes(seed: number): (size: number) => Uint8Array {
  let state = seed;
  return (size) =>
    Uint8Array.from({ length: size }, () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return (mixed ^ (mixed >>> 14)) & 0xff;
    });
}

function countingNumbers() {
  let last = 0;
  const calls: number[] = [];
  return {
    calls,
    takeNumbers: async (count: number) => {
      calls.push(count);
      const first = last + 1;
      last += count;
      // Others get their turn, as they do while a database works.
      await new Promise((resolve) => setImmediate(resolve));
      return first;
    },
  };
}

function create(
  name: (typeof KEY_STRATEGY_NAMES)[number],
  { keyLength = 7, seed = 1, takeNumbers = countingNumbers().takeNumbers } = {},
): KeyStrategy {
  return createKeyStrategy(name, { keyLength, randomBytes: seededBytes(seed), takeNumbers });
}

function optionsFor(...urls: string[]): LinkOptions[] {
  return urls.map((url) => ({ ...DEFAULT_LINK_OPTIONS, url }));
}

function many(count: number): LinkOptions[] {
  return optionsFor(...Array.from({ length: count }, (_, n) => `https://example.com/${n}`));
}

t.test('the strategies are random, counter and hash; only hash answers with an equal link', async (t) => {
  t.same(KEY_STRATEGY_NAMES, ['random', 'counter', 'hash']);
  t.same(
    KEY_STRATEGY_NAMES.map((name) => create(name).reuseEqual),
    [false, false, true],
  );
});

for (const name of KEY_STRATEGY_NAMES) {
  t.test(`${name}: every proposal is distinct, usable and of the length asked for`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 4, max: 32 }),
        fc.nat(),
        fc.uniqueArray(fc.webUrl(), { maxLength: 20 }),
        async (keyLength, seed, urls) => {
          const proposals = await create(name, { keyLength, seed }).propose(optionsFor(...urls));
          t.equal(proposals.length, urls.length);
          for (const keys of proposals) {
            const isLong = (key: string) =>
              name === 'counter' ? key.length >= keyLength : key.length === keyLength;
            const isGood = keys.length > 0 && keys.length <= CANDIDATES && keys.every(isUsableKey);
            if (!isGood || new Set(keys).size !== keys.length || !keys.every(isLong)) {
              throw new Error(`Not a proposal for length ${keyLength}: ${keys.join(' ')}`);
            }
          }
        },
      ),
      propertyRuns(t, { runs: 60, proveRuns: 5000 }),
    );
  });

  t.test(`${name}: nothing asked, nothing proposed`, async (t) => {
    t.same(await create(name).propose([]), []);
  });
}

t.test('random: bytes from 248 on are thrown away, and no letter is favoured', async (t) => {
  const bytes = [248, 255, 0, 61, 62, 247, 249, 10, 36];
  const randomBytes = (size: number) => Uint8Array.from(bytes.splice(0, size));
  const strategy = createKeyStrategy('random', {
    keyLength: 6,
    randomBytes: (size) => (bytes.length > 0 ? randomBytes(size) : seededBytes(1)(size)),
    takeNumbers: async () => 0,
  });
  const [keys] = await strategy.propose(many(1));
  t.equal(keys?.[0], ['0', 'z', '0', 'z', 'A', 'a'].join(''), '0 61 62 247 10 36 as letters');

  const counts = new Map([...BASE62].map((letter) => [letter, 0]));
  const proposals = await create('random', { seed: 20_260_131 }).propose(many(2000));
  const letters = proposals.flat().join('');
  for (const letter of letters) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  const expected = letters.length / 62;
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  t.equal(letters.length, 2000 * CANDIDATES * 7);
  // 61 degrees of freedom: mean 61, standard deviation 11; a modulo bias would give more than 400.
  t.ok(chiSquare < 61 + 5 * 11, `chi-square ${chiSquare.toFixed(1)}`);
});

t.test('random: a reserved word that comes out is drawn again', async (t) => {
  const letters = [...'docsabcd'].map((letter) => BASE62.indexOf(letter));
  const strategy = createKeyStrategy('random', {
    keyLength: 4,
    randomBytes: (size) => Uint8Array.from({ length: size }, () => letters.shift() ?? 7),
    takeNumbers: async () => 0,
  });
  const [keys] = await strategy.propose(many(1));
  t.equal(keys?.[0], 'abcd');
});

t.test('counter: keys stay what they were, or links would be given out twice', async (t) => {
  const proposals = await create('counter').propose(many(3));
  t.same(
    proposals.map(([first]) => first),
    KNOWN_COUNTER_KEYS,
  );
});

t.test(
  'counter: the last key follows from nothing, and is too long for its like to be used up',
  async (t) => {
    const lengths = [
      [4, 11],
      [32, 32],
    ] as const;
    for (const [keyLength, length] of lengths) {
      const [keys = []] = await create('counter', { keyLength, seed: 1 }).propose(many(1));
      const [others = []] = await create('counter', { keyLength, seed: 2 }).propose(many(1));
      t.equal(keys.length, CANDIDATES);
      t.same(keys.slice(0, -1), others.slice(0, -1));
      t.not(keys.at(-1), others.at(-1));
      t.equal(keys.at(-1)?.length, length);
    }
  },
);

t.test('counter: numbers are taken in blocks of 100, one refill at a time', async (t) => {
  const numbers = countingNumbers();
  const strategy = create('counter', { takeNumbers: numbers.takeNumbers });
  const proposals = await Promise.all(Array.from({ length: 150 }, () => strategy.propose(many(1))));
  const firsts = proposals.map(([keys]) => keys?.[0]);
  t.equal(new Set(firsts).size, 150);
  t.same(numbers.calls, [100, 100]);
  await strategy.propose(many(50));
  t.same(numbers.calls, [100, 100], 'the rest of the block was still there');
  await strategy.propose(many(250));
  t.same(numbers.calls, [100, 100, 250], 'a batch takes what it needs at once');
});

t.test('counter: batches and single links at once never share a key', async (t) => {
  const numbers = countingNumbers();
  const strategy = create('counter', { takeNumbers: numbers.takeNumbers });
  const sizes = [1, 120, 3, 99, 250, 1, 1, 100];
  const all = (await Promise.all(sizes.map((size) => strategy.propose(many(size))))).flat(2);
  t.equal(all.length, sizes.reduce((sum, size) => sum + size, 0) * CANDIDATES);
  t.equal(new Set(all).size, all.length);
});

t.test('counter: a refill that fails fails those who waited, and the next one works', async (t) => {
  let isDown = true;
  const numbers = countingNumbers();
  const strategy = create('counter', {
    takeNumbers: async (count) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (isDown) throw new Error('down');
      return numbers.takeNumbers(count);
    },
  });
  const waiting = await Promise.allSettled([strategy.propose(many(1)), strategy.propose(many(1))]);
  t.same(
    waiting.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  isDown = false;
  t.same(
    (await strategy.propose(many(1))).map(([first]) => first),
    KNOWN_COUNTER_KEYS.slice(0, 1),
  );
});

t.test('hash: keys follow from the target alone and stay what they were', async (t) => {
  const [keys, again, other] = await create('hash', { seed: 1 }).propose([
    ...optionsFor('https://example.com/'),
    { ...DEFAULT_LINK_OPTIONS, url: 'https://example.com/', title: 'x', tags: ['y'], redirectStatus: 301 },
    ...optionsFor('https://example.com/b'),
  ]);
  t.same(keys, KNOWN_HASH_KEYS);
  t.same(again, keys);
  t.equal(keys?.filter((key) => other?.includes(key)).length, 0);
  const [longer] = await create('hash', { keyLength: 9 }).propose(optionsFor('https://example.com/'));
  t.same(
    longer?.map((key) => key.slice(0, 7)),
    keys,
    'a greater KEY_LENGTH lengthens them',
  );
});

const KNOWN_COUNTER_KEYS = ['OqMDP3v', 'qCVZblX', 'yugVABw'];
const KNOWN_HASH_KEYS = ['KWqE6EU', 'iAZIoJo', 'aolpzhY', 'C6aH2f5', '40Ta3P9'];
