import fc from 'fast-check';
import t from 'tap';
import { findKeyFault, isReserved, isUsableKey, RESERVED_WORDS } from '../../app/links/key.ts';
import { propertyRuns } from '../support/property.ts';

const CHARACTERS = 'expected 1 to 64 characters of A–Z a–z 0–9 - _';

t.test('a key is 1 to 64 of its characters', async (t) => {
  for (const key of ['a', '-', '_', 'Z9', 'k'.repeat(64)]) {
    t.equal(findKeyFault(key), null, key);
    t.ok(isUsableKey(key), key);
  }
  for (const key of [
    '',
    'k'.repeat(65),
    'a b',
    'a/b',
    'a.b',
    'ä',
    'a\n',
    '\na',
    'a%20',
    '🎉',
    '.well-known',
  ]) {
    t.same(findKeyFault(key), { field: 'key', message: CHARACTERS }, JSON.stringify(key));
    t.notOk(isUsableKey(key), JSON.stringify(key));
  }
});

t.test('the reserved words are these, in any letter case', async (t) => {
  const words = [
    'api',
    'dashboard',
    'shorten',
    'healthz',
    'readyz',
    'metrics',
    'drain',
    'docs',
    'config',
    'jobs',
    'admin',
    'login',
    'logout',
    'static',
    'assets',
    'report',
    'favicon.ico',
    'robots.txt',
    '.well-known',
    'sitemap.xml',
  ];
  t.same([...RESERVED_WORDS], words);
  for (const word of words.filter((word) => !word.includes('.'))) {
    for (const key of [word, word.toUpperCase(), `${word.charAt(0).toUpperCase()}${word.slice(1)}`]) {
      t.same(findKeyFault(key, 'links[3].key'), {
        field: 'links[3].key',
        message: `"${key}" is reserved; choose another key`,
      });
      t.notOk(isUsableKey(key));
    }
  }
  t.notOk(isReserved('apis'));
});

t.test('any text: usable exactly when it fits the pattern and is not reserved', async (t) => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 70 }),
    fc.string({ unit: fc.constantFrom(...'azAZ09-_. /%'), maxLength: 70 }),
    fc.constantFrom(...RESERVED_WORDS),
    fc.mixedCase(fc.constantFrom(...RESERVED_WORDS)),
  );
  fc.assert(
    fc.property(text, (key) => {
      const fits = /^[A-Za-z0-9_-]{1,64}$/.test(key) && !key.includes('\n');
      const expected = fits && !RESERVED_WORDS.has(key.toLowerCase());
      return isUsableKey(key) === expected && (findKeyFault(key) === null) === expected;
    }),
    propertyRuns(t, { runs: 2000, proveRuns: 200_000 }),
  );
});
