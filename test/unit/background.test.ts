// Work beside the service: again and again, in portions, and at hours of the day.
import t from 'tap';
import { startSchedule } from '../../app/jobs/schedule.ts';
import { startBackground } from '../../app/kernel/background.ts';
import { createPacer, inPortions } from '../../app/kernel/portions.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';
import { until } from '../support/until.ts';

t.test('background work is done once a pause, and its failures are told once', async (t) => {
  const clock = createFakeClock();
  const told: string[] = [];
  let fails = false;
  const { close } = startBackground({
    clock,
    everyMs: 1000,
    async work() {
      told.push('work');
      if (fails) throw new Error('broken');
    },
    onFailed: (error) => told.push((error as Error).message),
    onRecovered: () => told.push('recovered'),
  });
  await clock.advance(999);
  t.same(told, []);
  await clock.advance(1);
  fails = true;
  await clock.advance(1000);
  await clock.advance(1000);
  fails = false;
  await clock.advance(1000);
  t.same(told, ['work', 'work', 'broken', 'work', 'work', 'recovered']);
  await close();
  await clock.advance(5000);
  t.equal(told.length, 6, 'and nothing after the end');
});

t.test('the end waits for work that is under way, and tells it', async (t) => {
  const clock = createFakeClock();
  const log: string[] = [];
  let finish: (() => void) | null = null;
  const { close } = startBackground({
    clock,
    everyMs: 1,
    async work(isOver) {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      log.push(`over: ${isOver()}`);
    },
    onFailed: () => log.push('failed'),
    onRecovered: () => log.push('recovered'),
  });
  await clock.advance(1);
  const closing = close().then(() => log.push('closed'));
  await clock.advance(1);
  t.same(log, []);
  (finish as (() => void) | null)?.();
  await closing;
  t.same(log, ['over: true', 'closed']);
});

t.test('between portions that take no time everybody else has a turn', async (t) => {
  let turns = 0;
  let steps = 0;
  setImmediate(function turn() {
    turns++;
    if (steps < 4) setImmediate(turn);
  });
  await inPortions(async () => ++steps < 4, {
    pacer: createIdlePacer(createFakeClock()),
    isOver: () => false,
  });
  t.equal(steps, 4);
  t.ok(turns >= 3);
});

/** Portions of 3 ms each, while the event loop is at work for `busy` of the time (null: nobody knows); the pauses between them. */
async function measurePauses(busy: number | null, isOver = () => false): Promise<number[]> {
  const pauses: number[] = [];
  let nowMs = 0;
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    async sleep(ms: number) {
      pauses.push(ms);
      nowMs += ms;
    },
  };
  const readLoop = () =>
    busy === null ? { active: 0, idle: 0 } : { active: nowMs * busy, idle: nowMs * (1 - busy) };
  let steps = 0;
  const step = async () => {
    nowMs += 3;
    return ++steps < 4;
  };
  await inPortions(step, { pacer: createPacer({ clock, readLoop }), isOver });
  return pauses;
}

t.test('work beside the service takes a fifth of the time that is left', async (t) => {
  t.same(await measurePauses(0), [12, 12, 12]);
  t.same(await measurePauses(null), [12, 12, 12]);
  t.same(await measurePauses(0.5), [24, 24, 24]);
  t.same(await measurePauses(0.75), [48, 48, 48]);
  t.same(await measurePauses(1), [297, 297, 297], 'and a hundredth of all where nothing is');
});

t.test('who ends does not wait for a pause', async (t) => {
  let asked = 0;
  t.same(await measurePauses(1, () => ++asked > 1), []);
});

t.test('a job is done at its time, told when it fails, and waited for at the end', async (t) => {
  const failed: unknown[] = [];
  const error = new Error('broken');
  let isOverAtEnd: boolean | null = null;
  let begun = 0;
  const jobs = startSchedule(
    [
      { name: 'broken', at: '* * * * * *', run: () => Promise.reject(error) },
      {
        name: 'long',
        at: '* * * * * *',
        async run(isOver) {
          begun++;
          await until('the end', isOver);
          isOverAtEnd = isOver();
        },
      },
    ],
    { onFailed: (name, cause) => failed.push([name, cause]) },
  );
  // Nothing else keeps the process alive.
  await until('both have run', () => begun > 0 && failed.length > 1);
  t.equal(begun, 1, 'a job that is at work is not begun again');
  await jobs.close();
  t.equal(isOverAtEnd, true);
  t.same(failed[0], ['broken', error]);
});
