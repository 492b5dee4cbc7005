// What so many bad requests say of a release.
import t from 'tap';
import type { Outside } from '../../../devops/host/measure.ts';
import { addOutside, chanceOf, judge, judgeBake, NOTHING_OUTSIDE } from '../../../devops/roll/verdict.ts';

t.test('chance is the upper tail of the binomial distribution', async (t) => {
  // Of two coins: at least one, both.
  t.ok(Math.abs(chanceOf({ requests: 2, bad: 1, shareMax: 0.5 }) - 0.75) < 1e-12);
  t.ok(Math.abs(chanceOf({ requests: 2, bad: 2, shareMax: 0.5 }) - 0.25) < 1e-12);
  t.equal(chanceOf({ requests: 100, bad: 0, shareMax: 0.01 }), 1);
  // 1 - 0.99^100
  t.ok(Math.abs(chanceOf({ requests: 100, bad: 1, shareMax: 0.01 }) - 0.6339676587) < 1e-9);
  t.ok(chanceOf({ requests: 1_000_000, bad: 12_000, shareMax: 0.01 }) < 1e-80);
  t.same(
    [0, 1].map((bad) => chanceOf({ requests: 10, bad, shareMax: 0 })),
    [1, 0],
  );
});

t.test('what is allowed passes, what chance explains is doubtful, and what it does not fails', async (t) => {
  const of = (requests: number, bad: number) => judge({ requests, bad, shareMax: 0.01 });
  t.same([of(100, 0), of(100, 1), of(1000, 10)], ['pass', 'pass', 'pass']);
  t.same([of(100, 2), of(100, 4), of(1000, 15)], ['inconclusive', 'inconclusive', 'inconclusive']);
  t.same([of(100, 6), of(300, 15), of(1000, 25), of(2, 2)], ['fail', 'fail', 'fail', 'fail']);
  t.equal(of(0, 0), 'pass');
});

t.test('a bake counts from its beginning, and the worst of what it sees is its verdict', async (t) => {
  const first = { pid: 1, requests: 1000, errors: 100, redirects: 800, slow: 50 };
  const limits = { requests_min: 100, error_rate_max: 0.01 };
  const see = (more: Partial<typeof first>, outside: Partial<Outside> = {}) =>
    judgeBake(
      {
        first,
        now: {
          pid: 1,
          requests: 1000 + (more.requests ?? 0),
          errors: 100 + (more.errors ?? 0),
          redirects: 800 + (more.redirects ?? 0),
          slow: 50 + (more.slow ?? 0),
        },
        outside: addOutside(NOTHING_OUTSIDE, { ...NOTHING_OUTSIDE, ...outside }),
      },
      limits,
    );
  t.same(see({ requests: 100, redirects: 90 }, { synthetic: 60 }), {
    requests: 100,
    errors: 0,
    redirects: 90,
    slow: 0,
    synthetic: 60,
    unanswered: 0,
    late: 0,
    verdict: 'pass',
  });
  t.equal(see({}).verdict, 'inconclusive', 'nobody asked');
  t.equal(see({ requests: 99 }).verdict, 'inconclusive', 'too few');
  t.equal(see({ requests: 100, errors: 20 }).verdict, 'fail');
  t.equal(see({ requests: 100, errors: 2 }).verdict, 'inconclusive');
  t.equal(see({ requests: 100, redirects: 100, slow: 20 }).verdict, 'fail', 'slow by its own figures');
  t.equal(see({ requests: 100 }, { synthetic: 40, late: 20 }).verdict, 'fail', 'slow for who asks');
  t.match(see({ requests: 90 }, { synthetic: 40, unanswered: 10 }), {
    requests: 100,
    errors: 10,
    verdict: 'fail',
  });
});
