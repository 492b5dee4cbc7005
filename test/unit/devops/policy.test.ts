// What policies say, those that come along and others, and what becomes of facts and policies that are wrong.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HostFacts } from '../../../devops/host/inspect.ts';
import { parseManifest } from '../../../devops/manifest/read-manifest.ts';
import type { Window } from '../../../devops/manifest/schema.ts';
import { type Facts, loadPolicies } from '../../../devops/policy/decide.ts';
import {
  type BeginFacts,
  factsToBegin,
  factsToPromote,
  factsToSwitch,
  isOpen,
} from '../../../devops/policy/facts.ts';

const FOLDER = 'devops/policies';
const NOW = Date.UTC(2026, 0, 7, 12);
const HOST = {
  nowMs: NOW,
  platform: 'linux',
  arch: 'x64',
  freeBytes: 1e9,
  load: 0.5,
  glibc: '2.36',
  state: { committed: [], bad: {} },
} as unknown as HostFacts;

function toBegin(more: Partial<BeginFacts> = {}, deploy = ''): Facts {
  return factsToBegin({
    environment: 'staging',
    manifest: parseManifest(
      `provider: local\nservice: { BASE_URL: http://sho.rt }\ndeploy: { load_max: 4 ${deploy} }\n`,
      'x.yaml',
    ),
    release: { id: 'r2', platform: 'linux', arch: 'x64', isDirty: false },
    isRollback: false,
    ranInStaging: false,
    hosts: 1,
    variables: {},
    host: HOST,
    takenPorts: [],
    nowMs: NOW,
    ...more,
  });
}

const own = await loadPolicies(FOLDER);
const begin = (facts: Facts, policies = own) =>
  policies.decide({ gate: 'begin', person: 'somebody', host: 'h1', facts });

t.test('what nothing is amiss with is allowed', async (t) => {
  t.match(begin(toBegin()), { isAllowed: true, refusals: [] });
});

t.test('each policy refuses with its reason', async (t) => {
  const dirty = { id: 'r2', platform: 'linux', arch: 'x64', isDirty: true };
  const bad = { ...HOST, state: { committed: [], bad: { r2: 'undone' } } };
  const cases: readonly [facts: Facts, policy: string, reason: RegExp][] = [
    [
      toBegin({ host: { ...HOST, freeBytes: 5e6 } }),
      'disk',
      /^4 MB of disk are free, and deploy\.free_mb_min is 500\.$/,
    ],
    [toBegin({ host: { ...HOST, load: 4.5 } }), 'load', /4500000 millionths/],
    [toBegin({ host: { ...HOST, nowMs: NOW - 6000 } }), 'clock', /-6000 ms/],
    [toBegin({ host: { ...HOST, nowMs: NOW + 6000 } }), 'clock', /6000 ms/],
    [toBegin({ host: { ...HOST, arch: 'arm64' } }), 'platform', /another platform/],
    [toBegin({ host: bad }), 'not-bad', /r2 is marked bad/],
    [
      toBegin({ release: { ...dirty, needs: { glibc: '2.38' } } }),
      'glibc',
      /need glibc 2\.38, and this host has 2\.36/,
    ],
    [toBegin({ takenPorts: [3000, 9100] }), 'ports', /listens on 3000, 9100 there/],
    [toBegin({ environment: 'prod', release: dirty }), 'clean', /in no commit/],
    [toBegin({}, ', staged_in: staging'), 'staged', /Deploy it there first/],
    [toBegin({}, ', window: { from: "13:00", to: "14:00" }'), 'window', /outside/],
    [toBegin({ hosts: 2 }), 'shared-storage', /^2 hosts without a database/],
  ];
  for (const [facts, policy, reason] of cases) {
    t.match(begin(facts), { isAllowed: false, refusals: [{ policy, reason }] }, policy);
  }
  t.match(begin(toBegin({ hosts: 2, variables: { DATABASE_URL: 'postgres://' } })), { isAllowed: true });
  t.match(begin(toBegin({ ranInStaging: true }, ', staged_in: staging')), { isAllowed: true });
  const back = toBegin(
    { isRollback: true, host: { ...HOST, load: 9 } },
    ', window: { from: "13:00", to: "14:00" }',
  );
  t.match(begin(back), { isAllowed: true }, 'back is always possible');
});

t.test('without a way back nobody goes on, unless it is said aloud', async (t) => {
  const decide = (isNeeded: boolean, isReady: boolean, isWaived: boolean) => {
    const rollback = { isNeeded, isReady, isWaived };
    const facts = factsToSwitch({ environment: 'staging', hosts: 1, variables: {}, rollback });
    return own.decide({ gate: 'switch', person: 'somebody', host: 'h1', facts }).isAllowed;
  };
  t.same(
    [
      decide(true, true, false),
      decide(true, false, false),
      decide(true, false, true),
      decide(false, false, false),
    ],
    [true, false, true, true],
  );
});

function withPolicy(t: Test, text: string): string {
  const folder = t.testdir();
  cpSync(FOLDER, folder, { recursive: true });
  writeFileSync(join(folder, 'own.cedar'), text);
  return folder;
}

t.test('a policy of a user is a file, and nothing else', async (t) => {
  const folder = withPolicy(
    t,
    '@reason("{environment.name} rests.") forbid (principal, action == Action::"begin", resource) when { context.environment.name == "staging" };',
  );
  t.match(begin(toBegin(), await loadPolicies(folder)), {
    refusals: [{ policy: 'own', reason: 'staging rests.' }],
  });
});

t.test('what cannot be judged is refused', async (t) => {
  await t.rejects(
    loadPolicies(withPolicy(t, 'forbid (principal, action, resource) when { context.moon };')),
    {
      name: 'PolicyError',
      message: /own: .*moon/,
    },
  );
  await t.rejects(loadPolicies(withPolicy(t, 'forbid (')), { name: 'PolicyError' });
  const { window: _, ...missing } = toBegin();
  t.throws(() => begin(missing), { name: 'PolicyError', message: /facts for begin cannot be judged/ });
  const overflow = withPolicy(
    t,
    'forbid (principal, action == Action::"begin", resource) when { context.host.free_mb * 9223372036854775807 > 1 };',
  );
  t.match(begin(toBegin(), await loadPolicies(overflow)), {
    isAllowed: false,
    refusals: [{ policy: 'own', reason: /cannot be evaluated/ }],
  });
});

t.test('a window is of the clock of its zone, also across midnight', async (t) => {
  const window: Window = { days: ['wed'], from: '22:00', to: '02:00', zone: 'Asia/Tokyo' };
  const at = (day: number, hour: number, minute = 0) =>
    isOpen(window, Date.UTC(2026, 0, day, hour - 9, minute));
  t.same(
    [at(7, 21, 59), at(7, 22), at(8, 1, 59), at(8, 2), at(8, 22), at(7, 1)],
    [false, true, true, false, false, false],
  );
  const simple: Window = { ...window, from: '08:00', to: '17:00', zone: 'UTC' };
  t.same([isOpen(simple, NOW), isOpen(simple, Date.UTC(2026, 0, 8, 12))], [true, false]);
});

t.test('a release that does badly goes back, and where it is doubtful everything stays', async (t) => {
  const decide = (verdict: 'pass' | 'fail' | 'inconclusive') => {
    const counts = {
      requests: 200,
      synthetic: 20,
      errors: 3,
      redirects: 190,
      slow: 1,
      unanswered: 0,
      late: 2,
    };
    const facts = factsToPromote({
      environment: 'staging',
      manifest: parseManifest('provider: local\nservice: { BASE_URL: http://sho.rt }\n', 'x.yaml'),
      hosts: 1,
      variables: {},
      baked: { ...counts, verdict },
    });
    return own.decide({ gate: 'promote', person: 'somebody', host: 'h1', facts });
  };
  t.match(decide('pass'), { isAllowed: true, isHeld: false });
  t.match(decide('fail'), {
    isAllowed: false,
    isHeld: false,
    refusals: [
      {
        policy: 'baked',
        reason:
          /^Of 200 requests 3 failed, and of 190 redirects 1, as of 20 of our own 2, took longer than 500 ms/,
      },
    ],
  });
  t.match(decide('inconclusive'), {
    isAllowed: false,
    isHeld: true,
    refusals: [{ policy: 'baked-clearly' }],
  });
});
