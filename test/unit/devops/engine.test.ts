// How steps are run: in order, side by side, once, and no further than the first failure.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Journal, openJournal } from '../../../devops/audit/journal.ts';
import { type EngineEvent, runStages } from '../../../devops/roll/engine.ts';
import { planDeploy, type Step } from '../../../devops/roll/plan.ts';

function open(t: Test): Journal {
  return openJournal(join(t.testdir(), 'journal.jsonl'), { nowMs: () => 0 });
}

const PLAN_OPTIONS = {
  release: 'r2',
  isBaked: false,
  hosts: ['h1', 'h2'].map((name) => ({ name, current: 'r1', back: 'r1', isHealthy: true })),
  floor: 0,
  batches: ['100%'],
};
const PLAN = planDeploy(PLAN_OPTIONS);
const ONE_BY_ONE = { ...PLAN_OPTIONS, floor: 1, batches: [1] };

function start(
  journal: Journal,
  perform: (step: Step) => Promise<unknown> = async () => null,
  { stages = PLAN.stages, parallel = 10 } = {},
) {
  const performed: string[] = [];
  const events: EngineEvent[] = [];
  const state = { interrupted: false };
  const run = () =>
    runStages(stages, {
      parallel,
      journal,
      onEvent: (event) => events.push(event),
      isInterrupted: () => state.interrupted,
      perform: async (step) => {
        performed.push(`${step.action} ${step.host}`);
        return perform(step);
      },
    });
  return { run, performed, events, state };
}

const entriesOf = (journal: Journal) => journal.entries().map(({ type, step }) => `${type} ${step}`);

t.test('a step is written down before it is begun and after it is done', async (t) => {
  const journal = open(t);
  const seen: string[][] = [];
  const { run } = start(journal, async () => {
    seen.push(entriesOf(journal));
    return { pid: 1 };
  });
  t.same(await run(), { type: 'done' });
  t.match(seen[0], ['intent preflight h1 r2']);
  t.match(journal.entries().at(-1), { type: 'done', step: 'prune h2 r2', detail: { evidence: { pid: 1 } } });
});

t.test('what was done is not done again, and what was only begun is', async (t) => {
  const journal = open(t);
  const first = start(journal, async ({ action, host }) => {
    if (action === 'switch' && host === 'h2') throw new Error('the machine stopped');
  });
  t.match(await first.run(), { type: 'failed', failures: [{ step: { id: 'switch h2 r2' } }] });
  const second = start(journal);
  t.same(await second.run(), { type: 'done' });
  t.notOk(second.performed.includes('migrate h2'));
  t.ok(second.performed.includes('switch h2') && second.performed.includes('prove h2'));
  t.equal(new Set(second.performed).size, second.performed.length);
});

t.test(
  'after a failure no lane begins another step, and each says what became of its last one',
  async (t) => {
    const journal = open(t);
    let letGo = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { run, performed, events } = start(journal, async ({ action, host }) => {
      if (action === 'rehearse' && host === 'h1') {
        letGo();
        throw new Error('it does not start');
      }
      if (action === 'rehearse') await slow;
    });
    t.match(await run(), {
      type: 'failed',
      failures: [{ step: { host: 'h1' }, error: { message: 'it does not start' } }],
    });
    t.notOk(performed.some((step) => step.startsWith('configure')));
    t.match(events.filter(({ type }) => type === 'failed' || type === 'done').slice(-2), [
      { type: 'failed' },
      { type: 'done', step: { host: 'h2' } },
    ]);
  },
);

t.test('somebody who interrupts gets no further host begun, and those that were are finished', async (t) => {
  const journal = open(t);
  const { stages } = planDeploy({ ...ONE_BY_ONE, isBaked: true });
  const { run, state, performed } = start(
    journal,
    async ({ action, host }) => {
      if (action === 'configure' && host === 'h1') state.interrupted = true;
    },
    { stages, parallel: 1 },
  );
  t.same(await run(), { type: 'interrupted' });
  t.equal(performed.at(-1), 'undrain h1', 'the look at it can wait, and so can h2');
  state.interrupted = false;
  performed.length = 0;
  t.same(await run(), { type: 'done' });
  t.same(performed.slice(0, 2), ['bake h1', 'configure h2']);
});

t.test('a drain that nothing came of is done once more: it ends by itself', async (t) => {
  const journal = open(t);
  const { stages } = planDeploy(ONE_BY_ONE);
  const stop = async ({ action, host }: Step): Promise<void> => {
    if (action === 'switch' && host === 'h1') throw new Error('the machine stopped');
  };
  t.match(await start(journal, stop, { stages }).run(), { type: 'failed' });
  const again = start(journal, undefined, { stages });
  t.same(await again.run(), { type: 'done' });
  t.same(again.performed.filter((step) => step.endsWith(' h1')).slice(0, 2), ['drain h1', 'switch h1']);
});

t.test('no more hosts than are allowed are at work at a time, and none begins after a failure', async (t) => {
  const { stages } = planDeploy({
    release: 'r2',
    isBaked: false,
    hosts: Array.from({ length: 7 }, (_, index) => ({
      name: `h${index + 1}`,
      current: 'r1',
      back: 'r1',
      isHealthy: true,
    })),
    floor: 0,
    batches: ['100%'],
  });
  const atWork = new Set<string>();
  let most = 0;
  const work = async ({ host, action }: Step) => {
    atWork.add(host);
    most = Math.max(most, atWork.size);
    await new Promise(setImmediate);
    atWork.delete(host);
    if (action === 'upload' && host === 'h2') throw new Error('no room');
  };
  const { run, performed } = start(open(t), work, { stages, parallel: 3 });
  t.match(await run(), { type: 'failed', failures: [{ step: { id: 'upload h2 r2' } }] });
  t.equal(most, 3);
  const uploads = performed.filter((step) => step.startsWith('upload'));
  t.ok(uploads.length >= 3 && uploads.length < 7, `${uploads}`);
  t.notOk(performed.some((step) => step.startsWith('rehearse')));
});
