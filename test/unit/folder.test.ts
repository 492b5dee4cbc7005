// When clicks are counted, how many at a time, and what is told of it. The tiers are a counter.
import t from 'tap';
import { createClickCounts } from '../../app/clicks/click-counts.ts';
import type { LinkUse } from '../../app/clicks/click-tiers.ts';
import { CATCH_UP_MAX, createFolder } from '../../app/clicks/folder.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';

const never = () => false;

/** Clicks wait by the time at which they were made; a portion takes `msPerClick` of the clock's time. */
function start({ msPerClick = 0 } = {}) {
  const clock = createFakeClock(0);
  let waiting: number[] = [];
  const asked: number[] = [];
  const rests: number[] = [];
  let nowMs = 0;
  const timed = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    async sleep(ms: number) {
      rests.push(ms);
      nowMs += ms;
    },
  };
  const folder = createFolder({
    transactionMs: 2,
    clock: timed,
    pacer: createIdlePacer(timed),
    tiers: {
      async fold(sliceClicks) {
        asked.push(sliceClicks);
        const clicksMax = sliceClicks * 16;
        const portion = waiting.slice(0, clicksMax);
        waiting = waiting.slice(clicksMax);
        nowMs += portion.length * msPerClick;
        const isFull = portion.length === clicksMax;
        return { clicks: portion.length, isFull, longestMs: (portion.length / 16) * msPerClick };
      },
      findOldestWaitingMs: async () => waiting[0] ?? null,
    },
  });
  const add = (count: number, atMs = nowMs) => waiting.push(...Array.from({ length: count }, () => atMs));
  return { clock, folder, asked, rests, add, waiting: () => waiting.length };
}

t.test('where nothing waits one question is enough', async (t) => {
  const { folder, asked } = start();
  t.same(await folder.catchUp(), { asOfMs: 0 });
  t.equal(asked.length, 1);
});

t.test('batches grow as long as they are quick', async (t) => {
  const { folder, asked, add, waiting } = start();
  add(20_000);
  await folder.foldAll(never);
  t.same(asked, [10, 20, 40, 80, 160, 320, 500, 500]);
  t.equal(waiting(), 0);
});

t.test('a transaction takes 2 ms, and four times as long as a batch nothing is done', async (t) => {
  const { folder, asked, rests, add } = start({ msPerClick: 0.04 });
  add(16_000);
  await folder.foldAll(never);
  t.same(asked, [10, 20, 40, ...Array.from({ length: 19 }, () => 50)]);
  t.equal(rests[4], 50 * 16 * 0.04 * 4);
  const slow = start({ msPerClick: 1 });
  slow.add(1000);
  await slow.folder.foldAll(never);
  t.same(slow.asked, [10, 10, 10, 10, 10, 10, 10], 'but a slice has 10 clicks at least');
});

t.test('who reads figures waits for no more than some clicks, and hears how old they are', async (t) => {
  const { folder, add, waiting } = start();
  add(CATCH_UP_MAX, 0);
  add(50_000, -7);
  const { asOfMs } = await folder.catchUp();
  t.equal(asOfMs, -7);
  t.ok(waiting() >= 40_000);
});

t.test('clicks that come meanwhile are left for the next time', async (t) => {
  for (const way of ['catchUp', 'foldAll'] as const) {
    const oldest = [0, 0, 1];
    const folder = createFolder({
      transactionMs: 2,
      clock: createFakeClock(0),
      pacer: createIdlePacer(createFakeClock(0)),
      tiers: {
        fold: async () => ({ clicks: 5, isFull: false, longestMs: 0 }),
        findOldestWaitingMs: async () => oldest.shift() ?? null,
      },
    });
    await folder[way](never);
    t.same(oldest, [], way);
  }
});

t.test('a bound that is met when all is counted is no bound', async (t) => {
  const { folder, add, waiting } = start();
  // 16 slices of 25, 50, 100, 200, 400 and 500 clicks.
  add(20_400);
  t.same(await folder.catchUp(), { asOfMs: 0 });
  t.equal(waiting(), 0);
});

t.test(
  'who asks while others are answered shares the next answer, which knows what came meanwhile',
  async (t) => {
    const { folder, asked, add } = start();
    add(10);
    const first = folder.catchUp();
    add(10, 5);
    const later = [folder.catchUp(), folder.catchUp(), folder.catchUp()];
    t.equal(later[0], later[1]);
    t.equal(later[1], later[2]);
    await Promise.all([first, ...later]);
    const runs = asked.length;
    await folder.catchUp();
    t.equal(asked.length, runs + 1, 'and whoever comes after it asks anew');
  },
);

t.test('it ends after the batch in which it is over', async (t) => {
  const { folder, add, asked } = start();
  add(10_000);
  await folder.foldAll(() => asked.length === 2);
  t.equal(asked.length, 2);
});

t.test('links have their clicks, or none while they cannot be read; that is told once', async (t) => {
  const told: unknown[] = [];
  const answer: { counts: Map<number, LinkUse> | Error; catchUp: Error | null } = {
    counts: new Map([[1, { clicks: 5, ofMax: 2 }]]),
    catchUp: null,
  };
  const counts = createClickCounts({
    tiers: {
      async readUse() {
        if (answer.counts instanceof Error) throw answer.counts;
        return answer.counts;
      },
    },
    folder: {
      async catchUp() {
        if (answer.catchUp) throw answer.catchUp;
        return { asOfMs: 0 };
      },
    },
    onFailed: (error) => told.push(error),
  });
  const read = async () => {
    const useOf = await counts.readUse([1, 2]);
    return [useOf(1), useOf(2)];
  };
  const none = { clicks: 0, ofMax: 0 };
  t.same(await read(), [{ clicks: 5, ofMax: 2 }, none]);
  const error = new Error('no file');
  answer.counts = error;
  answer.catchUp = error;
  await counts.catchUp();
  t.same(
    [await read(), await read()],
    [
      [null, null],
      [null, null],
    ],
  );
  t.same(told, [error]);
  answer.counts = new Map();
  t.same(await read(), [none, none]);
  answer.counts = error;
  await read();
  t.same(told, [error, error]);
});

t.test(
  'who waited for as many as anybody waits for, and these were all, has the figures of now',
  async (t) => {
    const clock = createFakeClock(5);
    const folder = createFolder({
      transactionMs: 2,
      clock,
      pacer: createIdlePacer(clock),
      tiers: {
        fold: async () => ({ clicks: CATCH_UP_MAX, isFull: true, longestMs: 0 }),
        findOldestWaitingMs: async () => null,
      },
    });
    t.same(await folder.catchUp(), { asOfMs: 5 });
  },
);
