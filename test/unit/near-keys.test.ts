import fc from 'fast-check';
import t from 'tap';
import { distanceBetween } from '../../app/kernel/edit-distance.ts';
import { editsOf, findNearKeys } from '../../app/links/near-keys.ts';
import { propertyRuns } from '../support/property.ts';
import { openStore } from '../support/store.ts';

const CHARACTERS = [...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_'];

/** The textbook's, for comparison: recursion without a table. */
function distanceNaively(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  const rest = [a.slice(1), b.slice(1)] as const;
  const choices = [
    distanceNaively(rest[0], b) + 1,
    distanceNaively(a, rest[1]) + 1,
    distanceNaively(...rest) + (a[0] === b[0] ? 0 : 1),
  ];
  if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0]) {
    choices.push(distanceNaively(a.slice(2), b.slice(2)) + 1);
  }
  return Math.min(...choices);
}

t.test('the distance is that of the textbook, up to two', async (t) => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 });
  fc.assert(
    fc.property(word, word, (a, b) => distanceBetween(a, b) === Math.min(distanceNaively(a, b), 3)),
    propertyRuns(t, { runs: 1000, proveRuns: 20_000 }),
  );
  t.equal(distanceBetween('autumn', 'AuTumn'), 0.5);
  t.equal(distanceBetween('autumn', 'au'), 3);
  t.equal(distanceBetween('autumn', 'atuumn'), 1);
});

t.test('edits are all keys at a distance of one, and no others', async (t) => {
  const key = 'aB-9';
  const edits = editsOf(key);
  t.equal(new Set(edits).size, edits.length);
  t.strictSame(
    edits.filter((edit) => distanceNaively(key, edit) !== 1),
    [],
  );
  // Left out 4, replaced 4 × 63, put in 5 × 64 less those that double a neighbour, swapped 3.
  t.equal(edits.length, 4 + 4 * 63 + (5 * 64 - 4) + 3);
  t.strictSame(editsOf('a').includes(''), false);
  t.strictSame(editsOf('a'.repeat(17)), []);
});

t.test('close keys are found, nearest first, and none that is further', async (t) => {
  const store = await openStore({ dataDir: t.testdir() });
  t.teardown(() => store.close());
  const make = async (...keys: string[]): Promise<void> => {
    const options = {
      url: 'https://example.com/',
      title: null,
      tags: [],
      status: 'enabled',
      redirectStatus: 302,
      expiresAtMs: null,
      maxClicks: null,
    } as const;
    const commands = keys.map(
      (key) =>
        ({ type: 'create', candidates: [key], options, reuseEqual: false, by: 'test', atMs: 0 }) as const,
    );
    await store.links.apply([commands]);
  };
  await make('autumn', 'Spring', 'sale-2026', 'winter-sale', 'X', 'ab', 'aBc', 'x'.repeat(64));
  const near = (key: string) => findNearKeys(store.nearKeys, key);
  t.strictSame(await near('autum'), ['autumn'], 'one left out');
  t.strictSame(await near('auutumn'), ['autumn'], 'one too many');
  t.strictSame(await near('butumn'), ['autumn'], 'the first is another');
  t.strictSame(await near('uatumn'), ['autumn'], 'two that change places');
  t.strictSame(await near('AUTUMN'), ['autumn'], 'capital letters');
  t.strictSame(await near('spring'), ['Spring']);
  t.strictSame(await near('sale-2062'), ['sale-2026']);
  t.strictSame(await near('sale-2037'), ['sale-2026'], 'two edits behind the beginning');
  t.strictSame(await near('sale-1037'), [], 'three edits');
  t.strictSame(await near('x'), ['X']);
  t.strictSame(await near('AB'), ['ab']);
  t.strictSame(await near('abc'), ['aBc', 'ab']);
  t.strictSame(await near(`${'x'.repeat(62)}yx`), ['x'.repeat(64)]);
  t.strictSame(await near('nothing-like-it'), []);
  await make('autumn1', 'autumn2', 'autumn3', 'autumn4');
  t.strictSame(await near('autumns'), ['autumn', 'autumn1', 'autumn2'], 'three at most');
  t.strictSame(await near('autumn33'), ['autumn3', 'autumn', 'autumn1'], 'equals in their order');
});

t.test('every key that is one edit away is found', async (t) => {
  const dataDir = t.testdir();
  const store = await openStore({ dataDir });
  t.teardown(() => store.close());
  const character = fc.constantFrom(...CHARACTERS);
  const keyOf = fc.string({ unit: character, minLength: 2, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(keyOf, fc.nat(), character, async (key, at, other) => {
      const edits = editsOf(key);
      const edit = edits[at % edits.length] as string;
      const options = {
        url: `https://example.com/${other}`,
        title: null,
        tags: [],
        status: 'enabled',
        redirectStatus: 302,
        expiresAtMs: null,
        maxClicks: null,
      } as const;
      await store.links.apply([
        [{ type: 'create', candidates: [edit], options, reuseEqual: false, by: 'test', atMs: 0 }],
      ]);
      const found = await store.nearKeys.findExisting(editsOf(key));
      return found.includes(edit);
    }),
    propertyRuns(t, { runs: 50, proveRuns: 1000 }),
  );
});
