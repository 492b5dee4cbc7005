// The last lines of a service, and those that come after them, once each.
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type LogPart, readLogs, readTail } from '../../../devops/host/tail.ts';

const ALL = { after: null, level: 'trace', request: null } as const;

/** Of both files. */
function linesOf({ files }: LogPart): string[] {
  return files.flatMap(({ lines }) => lines);
}

function openFolder(t: Test) {
  const logs = t.testdir();
  return { logs, out: join(logs, 'fleetlink-out.log'), errors: join(logs, 'fleetlink-error.log') };
}

t.test('lines are told once, when they are whole, also of a file that is begun anew', async (t) => {
  const { out, ...folder } = openFolder(t);
  t.same(readLogs(folder, { ...ALL, lines: 5 }).files, [], 'nothing was ever written');
  writeFileSync(out, Array.from({ length: 10 }, (_, index) => `line ${index}\n`).join(''));
  const first = readLogs(folder, { ...ALL, lines: 3 });
  t.same(linesOf(first), ['line 7', 'line 8', 'line 9']);
  const after = ({ at }: LogPart): LogPart => readLogs(folder, { ...ALL, lines: 3, after: at });
  t.same(linesOf(after(first)), []);
  appendFileSync(out, 'line 10\nhalf of ü');
  const second = after(first);
  t.same(linesOf(second), ['line 10']);
  appendFileSync(out, ' a line\n');
  const third = after(second);
  t.same(linesOf(third), ['half of ü a line']);
  writeFileSync(out, 'anew\n');
  t.same(linesOf(after(third)), ['anew']);
});

t.test('what is looked for is found however far back it is, and a line is never torn', async (t) => {
  const { out, ...folder } = openFolder(t);
  const entry = (level: string, id: number): string =>
    JSON.stringify({ level, request_id: `r${id}`, text: 'ü'.repeat(id % 700) });
  const lines = Array.from({ length: 20_000 }, (_, id) =>
    entry(id === 3 || id === 9000 ? 'warn' : 'info', id),
  );
  writeFileSync(out, `first words\n${lines.join('\n')}\n{"level":"warn","half`);
  const warnings = readLogs(folder, { ...ALL, lines: 50, level: 'warn' });
  t.same(linesOf(warnings), ['first words', lines[3], lines[9000]], 'what is no JSON is told too');
  t.same(linesOf(readLogs(folder, { ...ALL, lines: 50, request: 'r17' })), [lines[17]]);
  const all = readLogs(folder, { ...ALL, lines: 3000 });
  t.same(linesOf(all), lines.slice(-3000));
  t.match(all.files, [{ isCut: false }]);
  const tooMany = readLogs(folder, { ...ALL, lines: 20_000 });
  t.match(tooMany.files, [{ isCut: true }]);
  t.same(linesOf(tooMany), lines.slice(-linesOf(tooMany).length));
});

t.test('whatever a process writes is told, once, and soon', async (t) => {
  const { out, ...folder } = openFolder(t);
  writeFileSync(out, 'null\n[1]\n"text"\n{"level":30}\n');
  t.same(linesOf(readLogs(folder, { ...ALL, lines: 9, level: 'error' })), [
    'null',
    '[1]',
    '"text"',
    '{"level":30}',
  ]);
  // Not UTF-8, and not at its end.
  appendFileSync(out, Buffer.alloc(3000, 0xff));
  const first = readLogs(folder, { ...ALL, lines: 1 });
  appendFileSync(out, '\nlast\n');
  const second = readLogs(folder, { ...ALL, lines: 1, after: first.at });
  t.equal(linesOf(second).length, 2);
  t.equal(linesOf(second).at(-1), 'last');
  writeFileSync(out, Buffer.alloc(20 * 1024 * 1024, 'x'));
  appendFileSync(out, '\nbehind it\n');
  const third = readLogs(folder, { ...ALL, lines: 5 });
  t.same(linesOf(third), ['behind it']);
  t.match(third.files, [{ isCut: true }]);
});

t.test('of a failure the last words of the process are shown, and some lines before them', async (t) => {
  const { out, errors, ...folder } = openFolder(t);
  writeFileSync(out, Array.from({ length: 30 }, (_, index) => `out ${index}\n`).join(''));
  t.same(readTail(folder, 10), ['out 27', 'out 28', 'out 29']);
  appendFileSync(out, '{"method":"GET","path":"/fleetlink-smoke","status":302}\n');
  appendFileSync(out, '{"path":"/readyz","route":"/readyz","status":200,"duration_ms":1}\n');
  writeFileSync(errors, 'Error: why\n    at somewhere\n');
  t.same(readTail(folder, 10), ['Error: why', '    at somewhere', 'out 27', 'out 28', 'out 29']);
});
