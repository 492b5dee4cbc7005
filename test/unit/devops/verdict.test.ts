// What so many bad requests say of a release.
import t from 'tap';
import { chanceOf, judge, worst } from '../../../devops/roll/verdict.ts';

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

t.test('the worst of several counts', async (t) => {
  t.equal(worst(['pass', 'inconclusive', 'fail']), 'fail');
  t.equal(worst(['pass', 'inconclusive']), 'inconclusive');
  t.equal(worst([]), 'pass');
});
