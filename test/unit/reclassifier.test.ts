// Reading the history of clicks anew as a job: what it tells, who may do it, and how it ends.
import t from 'tap';
import { judgeAgent } from '../../app/clicks/agent.ts';
import type { ClickReason } from '../../app/clicks/click.ts';
import type { ReclassifyRange } from '../../app/clicks/click-tiers.ts';
import { createReclassifier } from '../../app/clicks/reclassifier.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';
import { until } from '../support/until.ts';

const CHROME =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36';
const CURL = 'curl/8.7.1';
const TELEGRAM = 'TelegramBot (like TwitterBot)';

type Stored = readonly [agent: string, reason: ClickReason];

/** Two segments, read two clicks at a time. */
function start(
  segments: readonly (readonly Stored[])[],
  { holds = (): boolean => true, fails = false } = {},
) {
  const clock = createFakeClock(0);
  const asked: Omit<ReclassifyRange, 'judge'>[] = [];
  const leases: number[] = [];
  const failed: unknown[] = [];
  const tiers = {
    listSegments: async () =>
      segments.map((_, id) => ({ id, name: String(id), foldedTo: 0, folded: 0, removed: 0 })),
    async takeLease({ forMs }: { forMs: number }) {
      leases.push(forMs);
      return holds();
    },
    async reclassify({ judge, ...range }: ReclassifyRange) {
      asked.push(range);
      if (fails) throw new Error('no file');
      const rows = (segments[range.segment] ?? []).slice(range.after, range.after + 2);
      const changes = rows
        .map(([agent, from]) => ({ from, to: judge(agent, from) }))
        .filter(({ from, to }) => from !== to);
      return { read: rows.length, last: rows.length === 0 ? null : range.after + rows.length, changes };
    },
  };
  const reclassifier = createReclassifier({
    tiers,
    clock,
    pacer: createIdlePacer(clock),
    holder: 'me',
    readAgent: judgeAgent,
    onFailed: (error) => failed.push(error),
  });
  const ended = () => until('it has ended', () => reclassifier.read()?.status !== 'running');
  return { reclassifier, asked, leases, failed, ended };
}

t.test('every reason has its rule', async (t) => {
  const { reclassifier, asked, leases, ended } = start([
    [
      [CURL, 'human'],
      [CURL, 'repeat'],
      [CURL, 'prefetch'],
      [TELEGRAM, 'bot'],
      [CHROME, 'bot'],
    ],
    [
      [CHROME, 'human'],
      [CHROME, 'repeat'],
      [CHROME, 'preview'],
      [CURL, 'human'],
    ],
  ]);
  t.equal(reclassifier.read(), null);
  const begun = await reclassifier.start({ isDryRun: false });
  t.same(begun, {
    isDryRun: false,
    status: 'running',
    startedAtMs: 0,
    endedAtMs: null,
    read: 0,
    changed: [],
  });
  await ended();
  t.match(reclassifier.read(), { status: 'done', endedAtMs: 0, read: 9 });
  t.same(reclassifier.read()?.changed, [
    { from: 'human', to: 'bot', clicks: 2 },
    { from: 'repeat', to: 'bot', clicks: 1 },
    { from: 'bot', to: 'preview', clicks: 1 },
    { from: 'bot', to: 'human', clicks: 1 },
    { from: 'preview', to: 'human', clicks: 1 },
  ]);
  t.same(
    asked.map(({ segment, after }) => [segment, after]),
    [
      [0, 0],
      [0, 2],
      [0, 4],
      [0, 5],
      [1, 0],
      [1, 2],
      [1, 4],
    ],
  );
  t.equal(leases.at(-1), 0, 'others may have it now');
});

t.test('one at a time', async (t) => {
  const { reclassifier, asked, ended } = start([[[CURL, 'human']]]);
  const both = [reclassifier.start({ isDryRun: true }), reclassifier.start({ isDryRun: false })];
  t.equal((await Promise.all(both))[1], null);
  await ended();
  t.ok(asked.every(({ isDryRun }) => isDryRun));
  t.not(await reclassifier.start({ isDryRun: false }), null);
  await ended();
  const other = start([], { holds: () => false });
  t.equal(await other.reclassifier.start({ isDryRun: false }), null, 'another process is at it');
  t.equal(other.reclassifier.read(), null);
});

t.test('one that loses its lease, fails or is closed says so', async (t) => {
  let taken = 0;
  const lost = start([[[CURL, 'human']], [[CURL, 'human']]], { holds: () => ++taken < 3 });
  await lost.reclassifier.start({ isDryRun: false });
  await lost.ended();
  t.match(lost.reclassifier.read(), { status: 'failed', read: 1 });
  t.match(lost.failed, [{ message: 'Another process reclassifies clicks now.' }]);
  const broken = start([[[CURL, 'human']]], { fails: true });
  await broken.reclassifier.start({ isDryRun: false });
  await broken.ended();
  t.match(broken.reclassifier.read(), { status: 'failed' });
  t.match(broken.failed, [{ message: 'no file' }]);
  const closed = start([[[CURL, 'human']]]);
  await closed.reclassifier.start({ isDryRun: false });
  await closed.reclassifier.close();
  t.match(closed.reclassifier.read(), { status: 'failed' });
});

t.test('a lease that cannot be asked for, or given back, is told', async (t) => {
  let asked = 0;
  const holds = (): boolean => {
    if (++asked !== 2) throw new Error('busy');
    return true;
  };
  const { reclassifier, failed, ended } = start([], { holds });
  await t.rejects(reclassifier.start({ isDryRun: false }), { message: 'busy' });
  t.not(await reclassifier.start({ isDryRun: false }), null);
  await ended();
  t.match(reclassifier.read(), { status: 'done' });
  t.match(failed, [{ message: 'busy' }]);
});
