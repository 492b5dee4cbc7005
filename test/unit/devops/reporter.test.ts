// What a deploy shows of itself.
import t from 'tap';
import type { Entry } from '../../../devops/audit/journal.ts';
import { createJsonReporter } from '../../../devops/output/json-reporter.ts';
import { createTextReporter } from '../../../devops/output/reporter.ts';
import { HostFailure } from '../../../devops/remote/host-client.ts';

const STEP = { id: 'switch h1 r2', action: 'switch', host: 'h1', release: 'r2' } as const;
const ERROR = new HostFailure('h1', { code: 'unhealthy', message: 'it did not start', evidence: ['a line'] });

function start(isLive: boolean) {
  let nowMs = 0;
  let text = '';
  const reporter = createTextReporter({
    write: (more) => {
      text += more;
    },
    nowMs: () => nowMs,
    environment: 'staging',
    isLive,
  });
  return {
    reporter,
    text: () => text,
    wait: (ms: number) => {
      nowMs += ms;
    },
  };
}

t.test('after 20 s of silence it says what it waits for', async (t) => {
  const { reporter, text, wait } = start(false);
  reporter.tick();
  reporter.event({ type: 'begun', step: STEP });
  wait(19_000);
  reporter.tick();
  t.equal(text(), '');
  wait(2000);
  reporter.tick();
  t.equal(text(), '00:21    … h1 switch 21 s\n');
  wait(1000);
  reporter.tick();
  t.equal(text().split('\n').length, 2, 'once in 20 s');
  reporter.event({ type: 'done', step: STEP, evidence: null, ms: 22_000 });
  wait(30_000);
  reporter.tick();
  t.match(text(), /✓ h1 {2}switch {2}22\.0 s\n$/, 'and nothing where nothing is under way');
});

t.test('so it is while something is built', async (t) => {
  const { reporter, text, wait } = start(false);
  reporter.preparing('build  modules');
  wait(21_000);
  reporter.tick();
  reporter.preparing(null);
  wait(21_000);
  reporter.tick();
  t.equal(text(), '00:00  build  modules\n00:21    … build  modules 21 s\n');
});

t.test('on a terminal the last line shows it, and gives way to what is said', async (t) => {
  const { reporter, text, wait } = start(true);
  reporter.event({ type: 'begun', step: STEP });
  wait(3000);
  reporter.tick();
  reporter.tick();
  reporter.note('something');
  t.equal(text(), '00:03  … h1 switch 3 s\r\x1b[K00:03  … h1 switch 3 s\r\x1b[K00:03  something\n');
});

t.test('programs get a line of JSON for each', async (t) => {
  const lines: string[] = [];
  const reporter = createJsonReporter({ write: (text) => lines.push(text), nowMs: () => 0 });
  reporter.event({ type: 'stage', name: 'preflight' });
  reporter.event({ type: 'begun', step: STEP });
  reporter.event({ type: 'failed', step: STEP, error: ERROR, ms: 5 });
  reporter.failed([{ step: STEP, error: ERROR }]);
  reporter.undone([{ name: 'h1', to: 'r1' }], true);
  reporter.tick();
  const step = { id: STEP.id, action: 'switch', host: 'h1', release: 'r2' };
  const why = { code: 'unhealthy', message: 'it did not start', evidence: ['a line'] };
  const at = '1970-01-01T00:00:00.000Z';
  t.same(
    lines.map((line) => JSON.parse(line)),
    [
      { at, type: 'stage', name: 'preflight' },
      { at, type: 'begun', step },
      { at, type: 'failed', step, ms: 5, ...why },
      { at, type: 'failures', failures: [{ step: STEP.id, host: 'h1', ...why }] },
      { at, type: 'undone', hosts: [{ name: 'h1', to: 'r1' }], because: 'it failed' },
    ],
  );
  t.ok(lines.every((line) => line.endsWith('}\n')));
});

t.test('a check says what would be changed, and what forbids it', async (t) => {
  const { reporter, text } = start(false);
  const decision = { gate: 'begin', host: 'h1', isAllowed: false, isHeld: false, facts: {} } as const;
  const plan = { release: 'r2', hosts: [], floor: 0, stages: [] };
  const changes = [
    { name: 'A', from: null, to: '1' },
    { name: 'B', from: '1', to: null },
    { name: 'C', from: '1', to: '2' },
  ];
  reporter.checked(plan, [
    { host: 'h1', changes, decision: { ...decision, refusals: [{ policy: 'disk', reason: 'It is full.' }] } },
  ]);
  t.equal(
    text(),
    '✗ h1  refused: It is full. (policy disk)\n  h1  + A=1\n  h1  - B\n  h1  ~ C  1 → 2\n\n\nNothing was changed.\n',
  );
});

t.test('at the end each host has its evidence in a line, and what to do next is said', async (t) => {
  const { reporter, text } = start(false);
  const step = (action: string, host: string) => `${action} ${host} r2`;
  const done = (id: string, evidence: object, ms = 0) => ({
    type: 'done',
    step: id,
    detail: { ms, evidence },
  });
  const entries = [
    { type: 'begun', detail: { deploy: 'd1', holder: 'me@here', plan: {} } },
    done(step('drain', 'h1'), { isDrained: true, quietMs: 3 }, 400),
    done(step('prove', 'h1'), { oldPid: 1, pid: 2, readyMs: 30 }),
    done(step('bake', 'h1'), { errors: 0, requests: 120 }),
    done(step('prove', 'h2'), { oldPid: null, pid: 3, readyMs: 40 }),
    done(step('smoke', 'h1'), { link: 'https://sho.rt/x' }),
  ] as unknown as Entry[];
  const host = { to: 'r2', back: null, batch: 1 };
  const hosts = [
    { ...host, name: 'h1', from: 'r1' },
    { ...host, name: 'h2', from: null },
  ];
  reporter.recap({ release: 'r2', hosts, floor: 1, stages: [] }, entries);
  t.equal(
    text(),
    `
h1  r1 → r2  drain 0.4 s  pid 1 → 2  ready 30 ms  0 of 120 requests failed  ✓
h2  nothing → r2  pid – → 3  ready 40 ms  ✓

serves    https://sho.rt/x
release   r2
by        me@here
audit     npm run audit -- --env staging  (d1)
rollback  npm run rollback -- --env staging
`,
  );
});

t.test('a plan says what stays ready, and marks have colours where they are wanted', async (t) => {
  let text = '';
  const reporter = createTextReporter({
    write: (more) => {
      text += more;
    },
    nowMs: () => 0,
    environment: 'staging',
    isColored: true,
  });
  const host = { from: 'r1', to: 'r2', back: 'r1' };
  const hosts = [
    { ...host, name: 'h1', batch: 1 },
    { ...host, name: 'h2', batch: 2 },
  ];
  reporter.plan({ release: 'r2', hosts, floor: 1, stages: [] });
  t.match(text, /h2 {8}2 {2}r1 → r2\nNever fewer than 1 of 2 are ready\.\n\n$/);
  reporter.event({ type: 'done', step: STEP, evidence: null, ms: 0 });
  t.match(text, '\x1b[32m✓\x1b[39m h1  switch');
});
