import t from 'tap';
import {
  createUnknownKeys,
  FLUSH_EVERY_MS,
  TRACKED_MAX,
  type UnknownKeyHits,
  type UnknownKeys,
} from '../../app/stats/unknown-keys.ts';
import { DAYS, KEYS_A_DAY } from '../../app/store/unknown-key-store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { createRandom, createSeededRandom, pickInteger, SEED } from '../support/seed.ts';
import { openStore } from '../support/store.ts';

interface Written {
  readonly unknown: UnknownKeys;
  readonly clock: FakeClock;
  /** What was written down of each key. */
  readonly hits: Map<string, number>;
  readonly flushes: UnknownKeyHits[][];
  /** Thrown by the next write. */
  failWith(error: Error | null): void;
}

function startCounting(): Written {
  const clock = createFakeClock();
  const hits = new Map<string, number>();
  const flushes: UnknownKeyHits[][] = [];
  let failure: Error | null = null;
  const unknown = createUnknownKeys({
    clock,
    seed: SEED | 0,
    store: {
      async addUnknownKeys(_day, keys) {
        if (failure !== null) throw failure;
        flushes.push([...keys]);
        for (const { key, hits: count } of keys) hits.set(key, (hits.get(key) ?? 0) + count);
      },
      pruneUnknownKeys: async () => undefined,
    },
  });
  return {
    unknown,
    clock,
    hits,
    flushes,
    failWith: (error) => {
      failure = error;
    },
  };
}

t.test('hits of up to a thousand keys are counted one by one', async (t) => {
  const { unknown, hits } = startCounting();
  for (let key = 0; key < TRACKED_MAX; key++) {
    for (let times = 0; times <= key % 5; times++) unknown.note(`key-${key}`);
  }
  await unknown.flush();
  t.equal(hits.size, TRACKED_MAX);
  for (let key = 0; key < TRACKED_MAX; key++) {
    if (hits.get(`key-${key}`) !== (key % 5) + 1) t.fail(`key-${key}`, { hits: hits.get(`key-${key}`) });
  }
});

t.test('what is counted is written down once, by the next hit after some seconds', async (t) => {
  const { unknown, clock, flushes } = startCounting();
  unknown.note('autum');
  await clock.advance(FLUSH_EVERY_MS - 1);
  unknown.note('autum');
  await clock.advance(1);
  t.strictSame(flushes, []);
  unknown.note('autum');
  await clock.advance(0);
  const lastSeenMs = clock.nowMs();
  t.strictSame(flushes, [[{ key: 'autum', hits: 3, lastSeenMs }]]);
  await unknown.flush();
  t.equal(flushes.length, 1, 'nothing is new');
  unknown.note('autum');
  unknown.note('autumm');
  await unknown.flush();
  t.strictSame(flushes[1], [
    { key: 'autum', hits: 1, lastSeenMs },
    { key: 'autumm', hits: 1, lastSeenMs },
  ]);
});

t.test('what cannot be written down is kept', async (t) => {
  const { unknown, clock, hits, failWith } = startCounting();
  failWith(new Error('busy'));
  unknown.note('autum');
  await t.rejects(unknown.flush(), { message: 'busy' });
  await clock.advance(FLUSH_EVERY_MS);
  unknown.note('autum');
  await clock.advance(0);
  t.equal(hits.size, 0);
  failWith(null);
  await unknown.flush();
  t.strictSame([...hits], [['autum', 2]]);
});

t.test('two that write down at once do it once', async (t) => {
  const { unknown, hits } = startCounting();
  unknown.note('autum');
  await Promise.all([unknown.flush(), unknown.flush()]);
  t.strictSame([...hits], [['autum', 1]]);
});

t.test(
  'a flood of ever new keys pushes no key out that is hit now and then, before or during it',
  async (t) => {
    const random = createSeededRandom(t);
    const { unknown, clock, hits } = startCounting();
    const noted = new Map<string, number>();
    const note = (key: string): void => {
      unknown.note(key);
      noted.set(key, (noted.get(key) ?? 0) + 1);
    };
    for (let times = 0; times < 20; times++) note('known-before');
    const heapBefore = process.memoryUsage().heapUsed;
    const flood = 400_000;
    for (let index = 0; index < flood; index++) {
      unknown.note(`f${index}-${pickInteger(random, { min: 0, max: 1e9 })}`);
      // A hundredth of the flood are twenty real mistakes.
      if (index % 100 === 0) note(`real-${pickInteger(random, { min: 0, max: 19 })}`);
      if (index % 2000 === 0) note('known-before');
      if (index % 20_000 === 0) {
        await unknown.flush();
        await clock.advance(1000);
      }
    }
    await unknown.flush();
    const real = [...noted].filter(([key]) => key.startsWith('real-'));
    for (const [key, count] of real) {
      const written = hits.get(key) ?? 0;
      t.ok(written <= count, `${key}: never more than there were`);
      t.ok(written >= count * 0.9, `${key}: ${written} of ${count}`);
    }
    t.ok(
      (hits.get('known-before') ?? 0) >= 200,
      `known-before: ${hits.get('known-before')} of ${noted.get('known-before')}`,
    );
    const [most = ''] = [...hits].filter(([key]) => key.startsWith('f')).sort((a, b) => b[1] - a[1])[0] ?? [];
    t.ok((hits.get(most) ?? 0) <= 3, 'nothing of the flood looks like a mistake of many');
    hits.clear();
    const grown = process.memoryUsage().heapUsed - heapBefore;
    t.comment(`the heap grew by ${(grown / 1e6).toFixed(1)} MB`);
  },
);

t.test('a key has to be hit more often than a tracked one to take its place', async (t) => {
  const { unknown, hits } = startCounting();
  for (let key = 0; key < TRACKED_MAX; key++) {
    for (let times = 0; times < 300; times++) unknown.note(`key-${key}`);
  }
  // The sketch counts to 255.
  for (let times = 0; times < 300; times++) unknown.note('late');
  await unknown.flush();
  t.equal(hits.get('late'), undefined);
  t.equal(hits.size, TRACKED_MAX);
});

t.test('a redirect that finds nothing costs about as little in a flood', async (t) => {
  const { unknown } = startCounting();
  const random = createRandom(SEED);
  const keys = Array.from({ length: 200_000 }, () => random().toString(36).slice(2, 9));
  const startedAt = performance.now();
  for (const key of keys) unknown.note(key);
  const microseconds = ((performance.now() - startedAt) / keys.length) * 1000;
  t.comment(`${microseconds.toFixed(2)} µs a key`);
  t.ok(microseconds < 20);
});

t.test('hits are added up over days and processes, and the rarest keys of a day go', async (t) => {
  const store = await openStore({ dataDir: t.testdir() });
  t.teardown(() => store.close());
  const { addUnknownKeys, pruneUnknownKeys, listUnknownKeys } = store.unknownKeys;
  t.strictSame(await listUnknownKeys(0, 10), []);
  await addUnknownKeys(20_000, [{ key: 'a', hits: 5, lastSeenMs: 1 }]);
  await addUnknownKeys(20_001, [
    { key: 'a', hits: 1, lastSeenMs: 9 },
    { key: 'b', hits: 6, lastSeenMs: 3 },
  ]);
  await addUnknownKeys(20_001, [{ key: 'a', hits: 1, lastSeenMs: 7 }]);
  await addUnknownKeys(20_001, [{ key: 'b', hits: 1, lastSeenMs: 4 }]);
  t.strictSame(await listUnknownKeys(0, 10), [
    { key: 'a', hits: 7, lastSeenMs: 9 },
    { key: 'b', hits: 7, lastSeenMs: 4 },
  ]);
  t.strictSame(await listUnknownKeys(20_001, 1), [{ key: 'b', hits: 7, lastSeenMs: 4 }]);
  t.strictSame(await listUnknownKeys(20_002, 1), []);
  await addUnknownKeys(19_999, [{ key: 'y', hits: 1, lastSeenMs: 1 }]);
  await addUnknownKeys(20_000, [
    { key: 'x', hits: 1, lastSeenMs: 1 },
    { key: 'z', hits: 1, lastSeenMs: 1 },
  ]);
  t.strictSame(
    (await listUnknownKeys(0, 10)).map(({ key }) => key),
    ['a', 'b', 'x', 'y', 'z'],
    'equals in their order',
  );

  for (let index = 0; index < KEYS_A_DAY; index += 200) {
    const keys = Array.from({ length: 200 }, (_, at) => ({
      key: `${index + at}`,
      hits: 2,
      lastSeenMs: index + at,
    }));
    await addUnknownKeys(20_001, keys);
  }
  await pruneUnknownKeys(20_001);
  const kept = await listUnknownKeys(20_001, 5000);
  t.equal(kept.length, KEYS_A_DAY);
  t.notOk(
    kept.some(({ key }) => key === '0' || key === '1'),
    'the two that were seen longest ago',
  );
  await pruneUnknownKeys(20_000 + DAYS);
  t.strictSame(
    (await listUnknownKeys(0, 1)).map(({ key, hits }) => [key, hits]),
    [['b', 7]],
  );
  t.equal((await listUnknownKeys(0, 5000)).find(({ key }) => key === 'a')?.hits, 2);
});
