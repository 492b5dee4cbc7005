// What a host knows of releases: committed once or more often, withdrawn, and bad.
import { mkdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { type Layout, layoutOf } from '../../../devops/host/layout.ts';
import { listGood, noteBad, noteCommitted, noteWithdrawn, readState } from '../../../devops/host/state.ts';

function open(t: Test): Layout {
  const layout = layoutOf(t.testdir());
  mkdirSync(layout.root, { recursive: true });
  return layout;
}

/** By the deploy of the same number. */
function commit(layout: Layout, ...releases: readonly string[]): void {
  for (const [index, release] of releases.entries())
    noteCommitted(layout, { release, deploy: `d${index + 1}`, atMs: index });
}

const committed = (layout: Layout): string[] =>
  readState(layout).committed.map(({ release, deploy }) => `${release} by ${deploy}`);

t.test('what is taken back was committed as often as before', async (t) => {
  const layout = open(t);
  commit(layout, 'r1', 'r2', 'r1');
  t.same(committed(layout), ['r1 by d1', 'r2 by d2', 'r1 by d3']);
  noteWithdrawn(layout, { deploy: 'd3', to: 'r2' });
  t.same(committed(layout), ['r1 by d1', 'r2 by d2']);
});

t.test('what is none is not taken for nothing', async (t) => {
  const layout = open(t);
  for (const text of ['{"committed":null}', '{"committed":[null]}', '{"bad":5}', '{"comm']) {
    writeFileSync(layout.state, text);
    t.throws(() => readState(layout), { code: 'corrupt', message: /is damaged/ }, text);
  }
});

t.test('however often it is committed, it is remembered twice', async (t) => {
  const layout = open(t);
  commit(layout, 'r0', 'r1', 'r1', 'r1');
  t.same(committed(layout), ['r0 by d1', 'r1 by d3', 'r1 by d4']);
});

t.test('what is bad is not good, until it is committed again, or gone back to', async (t) => {
  const layout = open(t);
  commit(layout, 'r1', 'r2', 'r1');
  noteBad(layout, 'r2', 'it is slow');
  t.match(readState(layout), { bad: { r2: 'it is slow' } });
  t.same(listGood(readState(layout)), ['r1', 'r1']);
  noteWithdrawn(layout, { deploy: 'd3', to: 'r2' });
  t.same(listGood(readState(layout)), ['r1', 'r2'], 'a rollback that is taken back called it so');
  noteBad(layout, 'r3', 'it is slow');
  noteCommitted(layout, { release: 'r3', deploy: 'd4', atMs: 4 });
  t.same(readState(layout).bad, {});
});
