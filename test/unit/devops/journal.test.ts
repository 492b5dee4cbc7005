// What a deploy writes down of itself.
import { appendFileSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { type Journal, openJournal, readJournal } from '../../../devops/audit/journal.ts';
import { findInterrupted } from '../../../devops/roll/record.ts';

const NOW = Date.UTC(2026, 0, 2);

t.test('each line has the hash of the one before, and is on the disk at once', async (t) => {
  const path = join(t.testdir(), 'deep', 'deploy.jsonl');
  const lines: string[] = [];
  const journal = openJournal(path, { nowMs: () => NOW, onLine: (line) => lines.push(line) });
  const first = journal.append({ type: 'begun', detail: { by: 'somebody' } });
  const second = journal.append({ type: 'intent', step: 'switch h1 r2', host: 'h1' });
  t.match(first, { seq: 1, at: '2026-01-02T00:00:00.000Z', prev: '' });
  t.match(second, { seq: 2, prev: first.hash });
  t.same(readFileSync(path, 'utf8'), `${lines.join('\n')}\n`);
  t.same(openJournal(path, { nowMs: () => NOW }).entries(), [first, second]);
});

t.test('a line that was changed, or is missing, is found', async (t) => {
  const path = join(t.testdir(), 'deploy.jsonl');
  const journal = openJournal(path, { nowMs: () => NOW });
  for (const host of ['h1', 'h2', 'h3']) journal.append({ type: 'intent', step: `switch ${host} r2`, host });
  const text = readFileSync(path, 'utf8');
  t.throws(() => readJournal(text.replace('"host":"h2"', '"host":"h9"')), { message: /Line 2/ });
  const [one, , three] = text.split('\n');
  t.throws(() => readJournal(`${one}\n${three}\n`), { message: /Line 2/ });
  writeFileSync(path, text.replace('h3', 'h4'));
  t.throws(() => openJournal(path, { nowMs: () => NOW }), {
    name: 'JournalError',
    message: /Line 3 of \/.*jsonl/,
  });
  t.throws(() => readJournal(`${text}garbage\n`), { name: 'JournalError', message: /Line 4/ });
});

t.test('while another process writes it nobody else does', async (t) => {
  const path = join(t.testdir(), 'deploy.jsonl');
  const startedAt = readFileSync(`/proc/${process.ppid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19];
  symlinkSync(`${process.ppid} ${startedAt}`, `${path}.lock`);
  t.throws(() => openJournal(path, { nowMs: () => NOW }), {
    name: 'JournalError',
    message: `This deploy is at work still, as process ${process.ppid} of this machine: end it first.`,
  });
  rmSync(`${path}.lock`);
  symlinkSync(`${process.ppid} 1`, `${path}.lock`);
  const journal = openJournal(path, { nowMs: () => NOW });
  t.ok(journal, 'one that is gone may be gone on with');
  journal.append({ type: 'ended' });
  journal.close();
  t.same(readdirSync(dirname(path)), ['deploy.jsonl'], 'and nothing stays behind');
});

t.test('the latest deploy that was not ended is gone on with, past those that touched nothing', async (t) => {
  const folder = t.testdir();
  const write = (name: string, entries: Parameters<Journal['append']>[0][]) => {
    const journal = openJournal(join(folder, `${name}.jsonl`), { nowMs: () => NOW });
    for (const entry of entries) journal.append(entry);
  };
  const begun = { type: 'begun', detail: { plan: {} } } as const;
  const switched = { type: 'intent', step: 'switch h1 r2', host: 'h1' } as const;
  const ended = { type: 'ended' } as const;
  t.equal(findInterrupted(folder), null);
  write('1', [begun, switched]);
  t.match(findInterrupted(folder), { path: join(folder, '1.jsonl') });
  write('2', [begun, { type: 'intent', step: 'preflight h1 r3', host: 'h1' }, ended]);
  t.match(findInterrupted(folder), { path: join(folder, '1.jsonl') }, 'one was refused since');
  write('3', [begun, switched, ended]);
  t.equal(findInterrupted(folder), null, 'another has taken its place');
});

t.test(
  'a line that was cut off when the machine stopped is gone, and the next one stands alone',
  async (t) => {
    const path = join(t.testdir(), 'deploy.jsonl');
    const first = openJournal(path, { nowMs: () => NOW }).append({ type: 'begun' });
    appendFileSync(path, '{"seq":2,"at":"2026');
    const journal = openJournal(path, { nowMs: () => NOW });
    const second = journal.append({ type: 'ended' });
    t.same(readJournal(readFileSync(path, 'utf8')), [first, second]);
  },
);
