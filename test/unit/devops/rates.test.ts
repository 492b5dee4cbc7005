// How a host did between two looks.
import t from 'tap';
import { ratesOf } from '../../../devops/roll/rates.ts';

const figures = (pid: number, requests: number, errors: number, counts: readonly number[]) => ({
  pid,
  requests,
  errors,
  redirects: [10, 100, Number.MAX_SAFE_INTEGER].map((upToMs, index) => ({
    upToMs,
    count: counts[index] as number,
  })),
});

t.test('since the last look, or since the process began', async (t) => {
  const now = figures(1, 300, 3, [198, 299, 300]);
  t.same(ratesOf(now, null), { requests: 300, errorShare: 0.01, p99Ms: 100 });
  t.same(ratesOf(now, figures(1, 200, 3, [100, 200, 200])), { requests: 100, errorShare: 0, p99Ms: 100 });
  t.same(ratesOf(now, figures(2, 200, 3, [100, 200, 200])), { requests: 300, errorShare: 0.01, p99Ms: 100 });
  t.same(ratesOf(now, now), { requests: 0, errorShare: null, p99Ms: null });
  t.equal(ratesOf(figures(1, 9, 0, [0, 0, 9]), null).p99Ms, Number.MAX_SAFE_INTEGER);
  t.equal(ratesOf(figures(1, 100, 0, [99, 99, 100]), null).p99Ms, 10);
});
