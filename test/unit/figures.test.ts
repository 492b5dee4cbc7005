import { Histogram } from 'prom-client';
import t from 'tap';
import { createFigures } from '../../app/health/figures.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function start() {
  const clock = createFakeClock();
  const redirectDuration = new Histogram({ name: 'x', help: 'x', buckets: [0.01, 0.1, 1], registers: [] });
  let status: 'ready' | 'draining' = 'ready';
  const read = createFigures({
    clock,
    redirectDuration,
    readReadiness: async () => ({ status, reasons: [] }),
  });
  const observe = (seconds: number, times: number) => {
    for (let n = 0; n < times; n++) redirectDuration.observe(seconds);
  };
  return { clock, read, observe, drain: () => (status = 'draining') };
}

t.test('before the first redirect there is no p95', async (t) => {
  const { read, drain } = start();
  t.same(await read(), { redirectsPerMinute: 0, redirectP95Ms: null, ready: 'ready' });
  drain();
  t.same(await read(), { redirectsPerMinute: 0, redirectP95Ms: null, ready: 'draining' });
});

t.test('the figures cover the last minute and forget what came before', async (t) => {
  const { clock, read, observe } = start();
  await read();
  observe(0.005, 100);
  await clock.advance(30_000);
  t.same(await read(), { redirectsPerMinute: 100, redirectP95Ms: 9.5, ready: 'ready' });
  observe(0.05, 100);
  await clock.advance(30_000);
  const both = await read();
  t.equal(both.redirectsPerMinute, 200);
  t.equal(both.redirectP95Ms?.toFixed(3), '91.000');
  await clock.advance(30_000);
  t.equal((await read()).redirectsPerMinute, 100, 'the first hundred are older than a minute');
  await clock.advance(60_001);
  t.same(await read(), { redirectsPerMinute: 0, redirectP95Ms: null, ready: 'ready' });
});

t.test('beyond the last bound the p95 is that bound', async (t) => {
  const { read, observe } = start();
  await read();
  observe(5, 10);
  t.equal((await read()).redirectP95Ms, 1000);
});
