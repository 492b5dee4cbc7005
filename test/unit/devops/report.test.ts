// What a journal looks like to people.
import { join } from 'node:path';
import t from 'tap';
import { openJournal } from '../../../devops/audit/journal.ts';
import { reportDeploy } from '../../../devops/audit/report.ts';
import { planDeploy } from '../../../devops/roll/plan.ts';

t.test('a deploy is told with its hosts, what was refused, and each step', async (t) => {
  let nowMs = Date.UTC(2026, 0, 7, 12);
  const journal = openJournal(join(t.testdir(), 'd1.jsonl'), {
    nowMs: () => {
      nowMs += 1000;
      return nowMs;
    },
  });
  const plan = planDeploy({
    release: 'r2',
    hosts: [{ name: 'h1', current: 'r1', back: 'r1', isHealthy: true }],
    batches: [1],
    floor: 0,
    isBaked: false,
  });
  journal.append({
    type: 'begun',
    detail: { deploy: 'd1', holder: 'somebody@laptop', environment: 'staging', plan },
  });
  journal.append({
    type: 'decision',
    host: 'h1',
    detail: {
      gate: 'begin',
      host: 'h1',
      isAllowed: false,
      refusals: [{ policy: 'disk', reason: 'It is full.' }],
    },
  });
  journal.append({ type: 'intent', step: 'prove h1 r2', host: 'h1' });
  journal.append({
    type: 'failed',
    step: 'prove h1 r2',
    host: 'h1',
    detail: { ms: 12, message: 'one | two' },
  });
  journal.append({ type: 'undo' });
  journal.append({ type: 'done', step: 'undo switch h1 r1', host: 'h1', detail: { ms: 7 } });
  t.match(reportDeploy(journal.entries()), /not ended/);
  journal.append({ type: 'ended', detail: { code: 2 } });
  const text = reportDeploy(journal.entries());
  t.match(
    text,
    /^## d1: r2 to staging\n\nsomebody@laptop, begun 2026-01-07T12:00:01\.000Z, taken back, ended 2026-01-07T12:00:07\.000Z with 2\./,
  );
  t.match(text, /\| h1 \| r1 \| r2 \| 1 \|/);
  t.match(text, /Policies were asked 1 time, with 1 refusal:\n- h1, before begin: It is full\. \(disk\)/);
  t.match(text, /\| 12:00:04\.000 \| h1 \| prove h1 r2 \| 12 ms \| ✗ one \\\| two \|/);
  t.match(text, /\| 12:00:05\.000 \| \| the way back \| \| \|/);
  t.equal(reportDeploy([]), '');
});
