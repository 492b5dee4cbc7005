// The figures in `pm2 monit` cover the last minute and nothing before it.

import { Registry } from 'prom-client';
import t from 'tap';
import { createFigures, showMs } from '../../app/health/figures.ts';
import { createTalliedHistogram } from '../../app/health/histogram.ts';
import type { Readiness } from '../../app/health/readiness.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function setUp() {
  const clock = createFakeClock();
  const redirectDuration = createTalliedHistogram({
    name: 'redirects',
    help: 'Redirects.',
    registry: new Registry(),
  });
  let status: Readiness['status'] = 'ready';
  const readFigures = createFigures({
    clock,
    redirectDuration,
    readReadiness: () => Promise.resolve({ status, reasons: [] }),
  });
  return {
    clock,
    readFigures,
    become: (next: Readiness['status']) => {
      status = next;
    },
    redirect: (count: number, seconds: number) => {
      for (let i = 0; i < count; i++) redirectDuration.observe(seconds);
    },
  };
}

t.test('without a redirect there is no latency', async (t) => {
  const { readFigures } = setUp();
  t.same(await readFigures(), { redirectsPerMinute: 0, redirectP95Ms: null, ready: 'ready' });
});

t.test('the latency lies inside the bucket where 95 % of the redirects are reached', async (t) => {
  const { readFigures, redirect } = setUp();
  await readFigures();
  redirect(100, 0.0005);
  t.same(await readFigures(), { redirectsPerMinute: 100, redirectP95Ms: 0.95, ready: 'ready' });
  redirect(100, 0.005);
  const { redirectP95Ms } = await readFigures();
  t.equal(
    Number(redirectP95Ms).toFixed(3),
    (2.5 + 0.9 * 2.5).toFixed(3),
    '90 of the 100 between 2.5 and 5 ms',
  );
});

t.test('beyond the last bound it is that bound', async (t) => {
  const { readFigures, redirect } = setUp();
  await readFigures();
  redirect(10, 30);
  t.same(await readFigures(), { redirectsPerMinute: 10, redirectP95Ms: 10_000, ready: 'ready' });
});

t.test('what is older than a minute does not count', async (t) => {
  const { clock, readFigures, redirect } = setUp();
  await readFigures();
  redirect(7, 0.05);
  for (let second = 1; second <= 60; second++) {
    await clock.advance(1000);
    t.equal((await readFigures()).redirectsPerMinute, 7, `after ${second} s`);
  }
  await clock.advance(1000);
  t.same(await readFigures(), { redirectsPerMinute: 0, redirectP95Ms: null, ready: 'ready' });
});

t.test('a wall clock that is set by an hour changes no figure', async (t) => {
  const { clock, readFigures, redirect } = setUp();
  await readFigures();
  redirect(7, 0.05);
  for (const ms of [3_600_000, -7_200_000]) {
    clock.moveWall(ms);
    t.equal((await readFigures()).redirectsPerMinute, 7);
  }
  await clock.advance(60_001);
  t.equal((await readFigures()).redirectsPerMinute, 0);
});

t.test('readiness is shown as it is', async (t) => {
  const { readFigures, become } = setUp();
  for (const status of ['degraded', 'draining', 'unready'] as const) {
    become(status);
    t.equal((await readFigures()).ready, status);
  }
});

t.test('what was not measured yet is a dash', async (t) => {
  t.same([showMs(1.2345), showMs(0), showMs(null)], ['1.23', '0.00', '-']);
});
