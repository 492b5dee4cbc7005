// The last lines of a service, and those that come after them, once each.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { layoutOf } from '../../../devops/host/layout.ts';
import { readLogs } from '../../../devops/host/tail.ts';

t.test('lines are told once, when they are whole, also of a file that is begun anew', async (t) => {
  const layout = layoutOf(t.testdir());
  const out = join(layout.logs, 'fleetlink-out.log');
  t.same(readLogs(layout, { lines: 5, after: null }).lines, [], 'nothing was ever written');
  mkdirSync(layout.logs, { recursive: true });
  writeFileSync(out, Array.from({ length: 10 }, (_, index) => `line ${index}\n`).join(''));
  const first = readLogs(layout, { lines: 3, after: null });
  t.same(first.lines, ['line 7', 'line 8', 'line 9']);
  t.same(readLogs(layout, { lines: 3, after: first.at }).lines, []);
  appendFileSync(out, 'line 10\nhalf of ü');
  const second = readLogs(layout, { lines: 3, after: first.at });
  t.same(second.lines, ['line 10']);
  appendFileSync(out, ' a line\n');
  const third = readLogs(layout, { lines: 3, after: second.at });
  t.same(third.lines, ['half of ü a line']);
  writeFileSync(out, 'anew\n');
  t.same(readLogs(layout, { lines: 3, after: third.at }).lines, ['anew']);
});
