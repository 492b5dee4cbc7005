import fc from 'fast-check';
import t from 'tap';
import { addVisitors, countVisitors, mergeSketches } from '../../app/clicks/sketch.ts';
import { propertyRuns } from '../support/property.ts';
import { createRandom, createSeededRandom, type Random } from '../support/seed.ts';

const EMPTY = addVisitors(null, []);

function makeVisitors(random: Random, count: number): number[] {
  return Array.from(
    { length: count },
    () => Math.floor(random() * 2 ** 24) * 2 ** 24 + Math.floor(random() * 2 ** 24),
  );
}

t.test('an empty sketch counts nobody', async (t) => {
  t.same(EMPTY, Uint8Array.of(1));
  t.equal(countVisitors(EMPTY), 0);
});

t.test('a visitor is kept as the first 32 of his 48 bits', async (t) => {
  t.same(addVisitors(EMPTY, [0xa1b2c3d4e5f6]), Uint8Array.of(1, 0xd4, 0xc3, 0xb2, 0xa1));
});

t.test('a sketch whose visitors are all known is the same sketch', async (t) => {
  const visitors = makeVisitors(createSeededRandom(t), 5000);
  for (const some of [visitors.slice(0, 100), visitors]) {
    const sketch = addVisitors(null, some);
    t.equal(addVisitors(sketch, some), sketch);
    t.equal(addVisitors(sketch, []), sketch);
  }
});

t.test('up to 2,048 visitors are counted one by one, in at most 4 bytes each', async (t) => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 2048 }), (seed, count) => {
      const sketch = addVisitors(null, makeVisitors(createRandom(seed), count));
      const counted = countVisitors(sketch);
      return counted <= count && counted >= count - 1 && sketch.length === 1 + 4 * counted;
    }),
    propertyRuns(t, { runs: 200, proveRuns: 20_000 }),
  );
});

t.test('beyond that a sketch has 8 KB and is hardly ever more than 3 % wrong, and never 6 %', async (t) => {
  const random = createSeededRandom(t);
  const errors = [2049, 5000, 20_000, 50_000, 100_000, 400_000]
    .flatMap((count) =>
      Array.from({ length: 10 }, () => {
        const sketch = addVisitors(null, makeVisitors(random, count));
        t.equal(sketch.length, 1 + 8192);
        return Math.abs(countVisitors(sketch) / count - 1);
      }),
    )
    .sort((a, b) => b - a);
  // 1.15 % is one standard deviation: of 60 sketches half a one is expected beyond 3 %.
  t.ok((errors[0] ?? 1) < 0.06 && (errors[4] ?? 1) < 0.03, 'close to the truth', { errors });
});

t.test('the order of visitors and of merges changes nothing', async (t) => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 5 }),
      (seed, counts) => {
        const random = createRandom(seed);
        const groups = counts.map((count) => makeVisitors(random, count));
        const whole = addVisitors(null, groups.flat());
        const added = groups.reduceRight((sketch, group) => addVisitors(sketch, group), EMPTY);
        const sketches = groups.map((group) => addVisitors(null, group));
        const merged = sketches.reduce(mergeSketches, EMPTY);
        const mergedBackwards = sketches.reduceRight(mergeSketches, EMPTY);
        return [added, merged, mergedBackwards].every((sketch) => Buffer.compare(sketch, whole) === 0);
      },
    ),
    propertyRuns(t, { runs: 200, proveRuns: 5000 }),
  );
});

t.test('bytes that a later release wrote are refused, not misread', async (t) => {
  const message = 'A sketch of visitors has the form 3, which this release does not know.';
  t.throws(() => countVisitors(Uint8Array.of(3, 1)), { message });
  t.throws(() => mergeSketches(EMPTY, Uint8Array.of(3)), { message });
  t.throws(() => addVisitors(Uint8Array.of(3), []), { message });
});

t.test('every register may be full: then it counts as far as 32 bits go', async (t) => {
  const full = Uint8Array.from({ length: 8193 }, (_, index) => (index === 0 ? 2 : 20));
  t.ok(countVisitors(full) > 2 ** 32);
});
