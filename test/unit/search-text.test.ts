import fc from 'fast-check';
import t from 'tap';
import { foldCase, toSearchText } from '../../app/store/search-text.ts';
import { propertyRuns } from '../support/property.ts';

t.test('key, target, title and tags stand in one text, a line each', async (t) => {
  const link = { key: 'Key', url: 'https://example.com/A', title: 'Über', tags: ['Red', 'ΟΔΟΣ'] };
  t.equal(toSearchText(link), 'key\nhttps://example.com/a\nüber\nred\nοδοσ');
  t.equal(toSearchText({ ...link, title: null, tags: [] }), 'key\nhttps://example.com/a\n');
});

t.test('letters that differ in case or in form are the same', async (t) => {
  for (const [a, b] of [
    ['ÄÖÜ', 'äöü'],
    ['u\u0308', 'ü'],
    ['STRASSE', 'straße'],
    ['ΟΔΟΣ', 'οδος'],
    ['σ', 'ς'],
    ['Ǆ', 'ǆ'],
  ] as const) {
    t.equal(foldCase(a), foldCase(b), `${a} ${b}`);
  }
  t.not(foldCase('u'), foldCase('ü'));
  t.not(foldCase('ı'), foldCase('j'));
});

t.test('a text of nothing but ASCII is folded as it is among other letters', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
      t.equal(`${foldCase(text)}|ä`, foldCase(`${text}|Ä`));
    }),
    propertyRuns(t, { runs: 300, proveRuns: 30_000 }),
  );
});

t.test('any part of a text is found in it, in capitals and in small letters', async (t) => {
  const text = fc
    .string({ unit: 'grapheme', minLength: 0, maxLength: 10 })
    .map((part) => part.normalize('NFC'));
  fc.assert(
    fc.property(text, text, text, (before, needle, after) => {
      const whole = [before, needle, after].join('|');
      const folded = foldCase(whole);
      for (const asked of [needle, needle.toUpperCase(), needle.toLowerCase()]) {
        if (!folded.includes(foldCase(asked)))
          throw new Error(`${JSON.stringify(asked)} is not in ${folded}`);
      }
    }),
    propertyRuns(t, { runs: 1000, proveRuns: 100_000 }),
  );
});

t.test('a Greek word is found at the beginning of a longer one', async (t) => {
  t.ok(foldCase('ΟΔΟΣΑ').includes(foldCase('ΟΔΟΣ')));
  t.ok(foldCase('οδος και').includes(foldCase('οδοσ')));
});
