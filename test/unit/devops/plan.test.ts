// What a deploy does, as data.
import t from 'tap';
import { divide, planDeploy, planRollback, planUndo } from '../../../devops/roll/plan.ts';

const HOSTS = [
  { name: 'h1', current: 'r1', back: 'r1', isHealthy: true },
  { name: 'h2', current: 'r1', back: 'r1', isHealthy: false },
  { name: 'h3', current: null, back: null, isHealthy: false },
];

/** `action host release` of each lane. */
function show(stages: ReturnType<typeof planUndo>): unknown {
  return stages.map(({ name, lanes }) => [name, ...lanes.map((lane) => lane.map(({ id }) => id).join(', '))]);
}

t.test('batches are a number of hosts, or what share of them is done then', async (t) => {
  const hosts = Array.from({ length: 10 }, (_, index) => index);
  const sizes = (batches: (number | string)[]) => divide(hosts, batches).map(({ length }) => length);
  t.same(sizes([1, '50%', '100%']), [1, 4, 5]);
  t.same(sizes([3]), [3, 7], 'all hosts, also when nobody says so');
  t.same(sizes([20]), [10]);
  t.same(sizes(['5%', '10%', '100%']), [1, 9], 'a batch that is done already is none');
  t.same(divide([], [1]), []);
  t.same(
    divide(hosts, ['100%'], { sizeMax: 4 }).map(({ length }) => length),
    [4, 4, 2],
  );
});

t.test('a deploy rehearses everywhere before it changes anything, and broken hosts come first', async (t) => {
  const plan = planDeploy({ release: 'r2', hosts: HOSTS, batches: [1, '100%'], floor: 1, isBaked: true });
  t.same(plan.hosts, [
    { name: 'h2', from: 'r1', to: 'r2', back: 'r1', batch: 1 },
    { name: 'h3', from: null, to: 'r2', back: null, batch: 2 },
    { name: 'h1', from: 'r1', to: 'r2', back: 'r1', batch: 2 },
  ]);
  t.same(show([...plan.stages]), [
    ['preflight', 'preflight h2 r2', 'preflight h3 r2', 'preflight h1 r2'],
    ['upload', 'upload h2 r2', 'upload h3 r2', 'upload h1 r2'],
    ['rehearse', 'rehearse h2 r2', 'rehearse h3 r2', 'rehearse h1 r2'],
    [
      'batch 1 of 2',
      'configure h2 r2, migrate h2 r2, drain h2 r2, switch h2 r2, prove h2 r2, undrain h2 r2, bake h2 r2',
    ],
    [
      'batch 2 of 2',
      'configure h3 r2, migrate h3 r2, drain h3 r2, switch h3 r2, prove h3 r2, undrain h3 r2, bake h3 r2',
      'configure h1 r2, migrate h1 r2, drain h1 r2, switch h1 r2, prove h1 r2, undrain h1 r2, bake h1 r2',
    ],
    ['smoke', 'smoke h2 r2', 'smoke h3 r2', 'smoke h1 r2'],
    ['commit', 'commit h2 r2', 'commit h3 r2', 'commit h1 r2'],
    ['prune', 'prune h2 r2', 'prune h3 r2', 'prune h1 r2'],
  ]);
});

t.test('never so many at once that fewer than the floor are left', async (t) => {
  const hosts = Array.from({ length: 4 }, (_, index) => ({
    name: `h${index}`,
    current: 'r1',
    back: 'r1',
    isHealthy: true,
  }));
  const sizes = (floor: number | string) => {
    const plan = planDeploy({ release: 'r2', hosts, batches: ['100%'], floor, isBaked: false });
    const batches = plan.stages.filter(({ name }) => name.startsWith('batch'));
    return [plan.floor, ...batches.map(({ lanes }) => lanes.length)];
  };
  t.same(sizes('50%'), [2, 2, 2]);
  t.same(sizes('80%'), [3, 1, 1, 1, 1]);
  t.same(sizes(9), [3, 1, 1, 1, 1], 'one at a time is always possible');
  t.same(sizes(0), [0, 4]);
  const [drain] = planDeploy({ release: 'r2', hosts, batches: ['100%'], floor: 2, isBaked: false })
    .stages.flatMap(({ lanes }) => lanes.flat())
    .filter(({ action }) => action === 'drain');
  t.same(drain?.others, ['h2', 'h3'], 'those that are not changed together with it');
  const alone = planDeploy({ release: 'r2', hosts, batches: ['100%'], floor: 0, isBaked: false }).stages;
  t.notOk(alone.flatMap(({ lanes }) => lanes.flat()).some(({ action }) => action === 'drain'));
});

t.test('an undo goes the same way back, and takes away what was never there', async (t) => {
  const stages = planUndo({
    release: 'r2',
    isBad: true,
    names: ['h1', 'h2', 'h3'],
    hosts: [
      { name: 'h3', to: null, isSwitched: true, isDrained: true },
      { name: 'h2', to: 'r1', isSwitched: false, isDrained: true },
      { name: 'h1', to: 'r1', isSwitched: true, isDrained: true },
    ],
  });
  t.same(show(stages), [
    ['undo h3', 'undo remove h3 , undo withdraw h3 r2, undo mark_bad h3 r2'],
    ['undo h2', 'undo restore h2 r1, undo undrain h2 r1, undo withdraw h2 r2, undo mark_bad h2 r2'],
    [
      'undo h1',
      'undo restore h1 r1, undo drain h1 r1, undo switch h1 r1, undo prove h1 r1, undo undrain h1 r1, undo withdraw h1 r2, undo mark_bad h1 r2',
    ],
  ]);
});

t.test('a rollback sends and migrates nothing, and marks what it leaves', async (t) => {
  const { stages } = planRollback({
    release: 'r0',
    hosts: HOSTS.slice(0, 1),
    batches: [1],
    floor: '50%',
    isBaked: true,
  });
  t.same(show([...stages]), [
    ['preflight', 'preflight h1 r0'],
    ['rehearse', 'rehearse h1 r0'],
    ['batch 1 of 1', 'switch h1 r0, prove h1 r0'],
    ['smoke', 'smoke h1 r0'],
    ['commit', 'commit h1 r0'],
    ['prune', 'prune h1 r0'],
    ['mark what was left', 'mark_bad h1 r1'],
  ]);
});

t.test('a release that was there before is not marked bad for its new variables', async (t) => {
  const hosts = [{ name: 'h1', to: 'r2', isSwitched: true, isDrained: false }];
  const [undo] = planUndo({ release: 'r2', isBad: true, names: ['h1'], hosts });
  t.notOk(undo?.lanes.flat().some(({ action }) => action === 'mark_bad'));
});
