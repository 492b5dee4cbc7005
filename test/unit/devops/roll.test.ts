// What becomes of a deploy when something fails, at places that real hosts do not fail at when one wants it: hosts here are answers.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Journal, openJournal } from '../../../devops/audit/journal.ts';
import { parseManifest } from '../../../devops/manifest/read-manifest.ts';
import type { News } from '../../../devops/notify/notify.ts';
import { createTextReporter } from '../../../devops/output/reporter.ts';
import { type HostClient, HostFailure } from '../../../devops/remote/host-client.ts';
import {
  abortDeploy,
  type DeployOptions,
  EXIT,
  resumeDeploy,
  runDeploy,
} from '../../../devops/roll/deploy.ts';
import { type Plan, planDeploy, planRollback } from '../../../devops/roll/plan.ts';
import { TransportError } from '../../../devops/transport/transport.ts';

const MANIFEST = parseManifest(
  `provider: hosts
hosts: [{ name: h1, address: 192.0.2.1 }, { name: h2, address: 192.0.2.2 }]
service: { BASE_URL: http://sho.rt }
deploy: { batches: [1], bake: { seconds: 0 }, balancer_seconds: 0 }
`,
  'test.yaml',
);
const ARCHIVE = { id: 'layer', file: '', bytes: 0, sha256: '' };
const READY = { status: 'ready', reasons: [], release: 'r', pid: 1, nonce: null };
/** What steps need to know of what others did. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  acquire: { epoch: 1 },
  inspect: { layers: ['layer'], freeBytes: 1e9, load: 0, nowMs: 0, glibc: '2.36', state: { bad: {} } },
  ports: [],
  readyz: READY,
  rehearse: { rehearsed: [], isMigrationNeeded: false, noWayBack: null },
  switch: { oldPid: 1, restarts: 0 },
  drain: { isDrained: true, quietMs: 0 },
  smoke: { link: null, status: 302 },
};
/** Of each deploy. */
const ROUTINE = ['acquire', 'release', 'renew', 'journal', 'inspect', 'ports', 'readyz'];

/** Null: the host does it. */
type Fail = (host: string, verb: string, args: { readonly release?: string }) => Error | null;

function unhealthy(host: string): HostFailure {
  return new HostFailure(host, { code: 'unhealthy', message: 'it is not ready', evidence: [] });
}

const PLAN_OPTIONS = {
  release: 'r2',
  isBaked: false,
  hosts: ['h1', 'h2'].map((name) => ({ name, current: 'r1', back: 'r1', isHealthy: true })),
  floor: 1,
  batches: [1],
};

function open(t: Test, { plan = planDeploy(PLAN_OPTIONS), isRollback = false } = {}) {
  const asked: string[] = [];
  const news: News[] = [];
  const path = join(t.testdir(), 'journal.jsonl');
  const seen = { fail: (() => null) as Fail, isInterrupted: () => false, output: '' };
  const clientOf = (name: string): HostClient => ({
    name,
    async call<T>(verb: string, args: object = {}) {
      if (!ROUTINE.includes(verb)) asked.push(`${name} ${verb}`);
      const failure = seen.fail(name, verb, args);
      if (failure !== null) throw failure;
      return (ANSWERS[verb] ?? null) as T;
    },
    connect: () => undefined,
    sendTool: async () => 0,
    sendBase: async () => 0,
    hasBase: async () => true,
    run: async () => '',
    exec: async () => ({ code: 0, stdout: '', stderr: '' }),
    claim: () => undefined,
    begin: () => undefined,
    close: async () => undefined,
  });

  function optionsFor(journal: Journal, names: readonly string[]): DeployOptions {
    const identity = { id: plan.release, platform: 'linux', arch: 'x64', isDirty: false } as const;
    return {
      record: recordOf(plan, isRollback, identity),
      manifest: MANIFEST,
      release: { ...identity, app: ARCHIVE, modules: ARCHIVE },
      clients: new Map(names.map((name) => [name, clientOf(name)])),
      variables: {},
      policies: {
        decide: ({ gate, host, facts }) => ({
          gate,
          host,
          facts,
          isAllowed: true,
          isHeld: false,
          refusals: [],
        }),
      },
      journal,
      reporter: createTextReporter({
        write: (text) => {
          seen.output += text;
        },
        nowMs: () => 0,
        environment: 'test',
      }),
      tell: (one) => news.push(one),
      isInterrupted: seen.isInterrupted,
    };
  }

  async function go(
    how: (options: DeployOptions) => Promise<number>,
    { fail = () => null, isInterrupted = () => false, hosts = ['h1', 'h2'] }: Go = {},
  ): Promise<number> {
    Object.assign(seen, { fail, isInterrupted });
    asked.length = 0;
    return how(optionsFor(openJournal(path, { nowMs: () => 0 }), hosts));
  }
  return { go, asked, news, seen };
}

interface Go {
  readonly fail?: Fail;
  readonly isInterrupted?: () => boolean;
  /** Those that were not left out. */
  readonly hosts?: readonly string[];
}

function recordOf(plan: Plan, isRollback: boolean, release: DeployOptions['record']['release']) {
  const before = { current: 'r1', restarts: 0, isAnswering: true, reasons: [] };
  return {
    deploy: 'd1',
    holder: 'somebody@laptop',
    nonce: 'nonce',
    environment: 'test',
    release,
    isRollback,
    ranInStaging: false,
    isRollbackWaived: false,
    plan,
    wasFollowed: false,
    before: { h1: before, h2: before },
  };
}

/** The host is gone as soon as it is asked for that. */
function gone(host: string, at: string): Fail {
  let isGone = false;
  return (name, verb) => {
    isGone ||= name === host && verb === at;
    return isGone && name === host ? new TransportError(`${name} cannot be reached`) : null;
  };
}

t.test('what fails once every host has committed takes nothing back', async (t) => {
  const { go, asked, news, seen } = open(t);
  const fail: Fail = (host, verb) => (verb === 'prune' && host === 'h2' ? unhealthy(host) : null);
  t.equal(await go(runDeploy, { fail }), EXIT.done);
  t.equal(asked.filter((one) => one.endsWith('switch')).length, 2);
  t.match(seen.output, /prune on h2 failed[\s\S]*live on every host all the same/);
  t.match(news, [{ occasion: 'begun' }, { occasion: 'done', failures: [] }]);
});

t.test('nor does a rollback that could not mark what was left', async (t) => {
  const plan = planRollback({
    ...PLAN_OPTIONS,
    release: 'r1',
    hosts: PLAN_OPTIONS.hosts.map((host) => ({ ...host, current: 'r2', back: 'r2' })),
  });
  const { go, asked } = open(t, { plan, isRollback: true });
  const fail: Fail = (host, verb) => (verb === 'bad' && host === 'h2' ? unhealthy(host) : null);
  t.equal(await go(runDeploy, { fail }), EXIT.done);
  t.same(
    asked.filter((one) => one.endsWith('switch')),
    ['h1 switch', 'h2 switch'],
  );
});

t.test('a release is bad where hosts say so, and not where one is gone', async (t) => {
  const bad = open(t);
  const fail: Fail = (host, verb, { release }) =>
    host === 'h2' && verb === 'prove' && release === 'r2' ? unhealthy(host) : null;
  t.equal(await bad.go(runDeploy, { fail }), EXIT.undone);
  t.same(
    bad.asked.filter((one) => one.endsWith('bad')),
    ['h2 bad', 'h1 bad'],
  );
  t.match(bad.news.at(-1), { occasion: 'undone', failures: ['prove h2 r2: it is not ready'] });

  const lost = open(t, { plan: planDeploy({ ...PLAN_OPTIONS, floor: 0 }) });
  t.equal(await lost.go(runDeploy, { fail: gone('h2', 'prove') }), EXIT.mixed);
  t.notOk(lost.asked.includes('h1 bad'));
  t.ok(lost.asked.filter((one) => one === 'h1 switch').length === 2, 'h1 is back');
});

t.test('a rollback that fails calls nothing bad: it went to what was well', async (t) => {
  const hosts = PLAN_OPTIONS.hosts.map((host) => ({ ...host, current: 'r2', back: 'r2' }));
  const plan = planRollback({ ...PLAN_OPTIONS, release: 'r1', hosts });
  const { go, asked } = open(t, { plan, isRollback: true });
  const fail: Fail = (host, verb, { release }) =>
    host === 'h2' && verb === 'prove' && release === 'r1' ? unhealthy(host) : null;
  t.equal(await go(runDeploy, { fail }), EXIT.undone);
  t.notOk(asked.some((one) => one.endsWith('bad')));
});

t.test('a host that is left out when others go on stays as it was left', async (t) => {
  const { go, asked, seen } = open(t);
  let isAsked = false;
  // It dies while it is drained, and somebody interrupts.
  const fail = gone('h2', 'configure');
  const isInterrupted = (): boolean => isAsked;
  const watching: Fail = (host, verb, args) => {
    isAsked ||= host === 'h1' && verb === 'undrain';
    return fail(host, verb, args);
  };
  t.equal(await go(runDeploy, { fail: watching, isInterrupted }), EXIT.interrupted);
  t.equal(await go(resumeDeploy, { hosts: ['h1'] }), EXIT.done);
  t.match(seen.output, /h2 is left out, and stays as it was left/);
  t.same(asked, ['h1 smoke', 'h1 commit', 'h1 prune']);
});

t.test('one that was left in the middle can be gone on with once it is back', async (t) => {
  const { go, asked, seen } = open(t);
  let isAsked = false;
  const watching: Fail = (host, verb) => {
    isAsked ||= host === 'h2' && verb === 'undrain';
    return null;
  };
  t.equal(await go(runDeploy, { fail: watching, isInterrupted: () => isAsked }), EXIT.interrupted);
  t.equal(await go(resumeDeploy, { hosts: ['h1'] }), EXIT.done);
  t.match(seen.output, /h2 was left in the middle: say --resume or --abort again/);
  t.equal(await go(resumeDeploy), EXIT.done);
  t.same(asked, ['h2 smoke', 'h2 commit', 'h2 prune']);
});

t.test('what was taken back because somebody wanted it is told as that', async (t) => {
  const { go, asked, news } = open(t);
  let isAsked = false;
  const watching: Fail = (host, verb) => {
    isAsked ||= host === 'h1' && verb === 'undrain';
    return null;
  };
  t.equal(await go(runDeploy, { fail: watching, isInterrupted: () => isAsked }), EXIT.interrupted);
  t.equal(await go(abortDeploy), EXIT.done);
  t.same(asked, ['h1 restore', 'h1 drain', 'h1 switch', 'h1 prove', 'h1 undrain', 'h1 withdraw']);
  t.same(
    news.map(({ occasion }) => occasion),
    ['begun', 'interrupted', 'begun', 'aborted'],
  );
});

t.test('what is live on every host is ended, or still taken back by who wants that', async (t) => {
  let isCommitted = false;
  const watching: Fail = (host, verb) => {
    isCommitted ||= host === 'h2' && verb === 'commit';
    return null;
  };
  const ending = open(t);
  t.equal(await ending.go(runDeploy, { fail: watching, isInterrupted: () => isCommitted }), EXIT.interrupted);
  t.equal(await ending.go(resumeDeploy), EXIT.done);
  t.same(ending.asked.sort(), ['h1 prune', 'h2 prune']);
  isCommitted = false;
  const back = open(t);
  t.equal(await back.go(runDeploy, { fail: watching, isInterrupted: () => isCommitted }), EXIT.interrupted);
  t.equal(await back.go(abortDeploy), EXIT.done);
  t.same(
    back.asked.filter((one) => /switch|withdraw/.test(one)),
    ['h2 switch', 'h2 withdraw', 'h1 switch', 'h1 withdraw'],
  );
});

t.test('failures that were mended since are not told with the end', async (t) => {
  const { go, news } = open(t);
  const fail: Fail = (host, verb, { release }) => {
    if (verb === 'prove' && release === 'r2' && host === 'h2') return unhealthy(host);
    return verb === 'switch' && release === 'r1' && host === 'h2' ? unhealthy(host) : null;
  };
  t.equal(await go(runDeploy, { fail }), EXIT.mixed);
  t.match(news.at(-1), { occasion: 'mixed', failures: { length: 2 } });
  t.equal(await go(resumeDeploy), EXIT.undone);
  t.match(news.at(-1), { occasion: 'undone', failures: [] });
});

t.test('the same release with other variables stays committed when they are taken back', async (t) => {
  const hosts = PLAN_OPTIONS.hosts.map((host) => ({ ...host, current: 'r2', back: 'r2' }));
  const { go, asked } = open(t, { plan: planDeploy({ ...PLAN_OPTIONS, hosts }) });
  let isFirst = true;
  const fail: Fail = (host, verb) => {
    if (host !== 'h2' || verb !== 'prove' || !isFirst) return null;
    isFirst = false;
    return unhealthy(host);
  };
  t.equal(await go(runDeploy, { fail }), EXIT.undone);
  t.notOk(asked.some((one) => /withdraw|bad/.test(one)));
});

t.test('what is too broken to be drained is left all the same', async (t) => {
  const { go } = open(t);
  let isBack = false;
  const fail: Fail = (host, verb, { release }) => {
    if (host === 'h1' && verb === 'prove' && release === 'r2') {
      isBack = true;
      return unhealthy(host);
    }
    return isBack && verb === 'drain' ? unhealthy(host) : null;
  };
  t.equal(await go(runDeploy, { fail }), EXIT.undone);
});
