import t from 'tap';
import { createSli, type SliTally } from '../../app/health/sli.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const MINUTE_MS = 60_000;
const START_MS = 100 * MINUTE_MS;

function start() {
  const clock = createFakeClock(START_MS);
  const stored: [number, SliTally][] = [];
  const disk = { isFull: false };
  const sli = createSli({
    clock,
    store: {
      async addToMinute(minute, tally) {
        if (disk.isFull) throw new Error('SQLITE_FULL');
        stored.push([minute, tally]);
      },
      sumSince: async () => ({ good: 0, total: 0 }),
    },
  });
  return { clock, sli, stored, disk };
}

t.test('good is a redirect in time, bad what is late or our fault, the rest does not count', async (t) => {
  const cases: [number, number, SliTally | null][] = [
    [302, 0.001, { good: 1, total: 1 }],
    [301, 0.2, { good: 1, total: 1 }],
    [302, 0.2001, { good: 0, total: 1 }],
    [500, 0.001, { good: 0, total: 1 }],
    [503, 5, { good: 0, total: 1 }],
    [499, 0.1, null],
    [499, 0.3, { good: 0, total: 1 }],
    [404, 0.001, null],
    [404, 1, null],
    [410, 0.001, null],
    [400, 0.001, null],
  ];
  for (const [status, seconds, expected] of cases) {
    const { sli, stored } = start();
    sli.observe(status, seconds);
    await sli.flush({ all: true });
    t.same(stored, expected === null ? [] : [[100, expected]], `${status} after ${seconds} s`);
  }
});

t.test('a minute is stored when it is over, or at the end', async (t) => {
  const { clock, sli, stored } = start();
  sli.observe(302, 0.1);
  sli.observe(302, 0.3);
  await sli.flush();
  t.same(stored, []);
  await clock.advance(MINUTE_MS);
  sli.observe(302, 0.1);
  await sli.flush();
  t.same(stored, [[100, { good: 1, total: 2 }]]);
  await sli.flush();
  t.equal(stored.length, 1, 'and once');
  await sli.flush({ all: true });
  t.same(stored[1], [101, { good: 1, total: 1 }]);
});

t.test('what cannot be stored waits, for an hour', async (t) => {
  const { clock, sli, stored, disk } = start();
  disk.isFull = true;
  for (let minute = 0; minute < 61; minute++) {
    sli.observe(302, 0.1);
    await clock.advance(MINUTE_MS);
    await t.rejects(sli.flush(), { message: 'SQLITE_FULL' });
  }
  disk.isFull = false;
  await sli.flush();
  t.same(
    stored.map(([minute]) => minute).toSorted((a, b) => a - b),
    Array.from({ length: 60 }, (_, index) => 101 + index),
  );
});
