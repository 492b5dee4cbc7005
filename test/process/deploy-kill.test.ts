// Whoever deploys is killed at each line of the journal: what is known of it is exact, the host is held until it is gone on with, and
// both ways lead to where they should.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { HostFacts } from '../../devops/host/inspect.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import type { Archive } from '../../devops/release/archive.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { findInterrupted, listOpenSteps } from '../../devops/roll/record.ts';
import { openMachine } from '../support/deploy-machine.ts';
import type { DeployOrder } from '../support/deploy-process.ts';
import type { Deploys } from '../support/deploys.ts';
import { isLabPossible, openFleet, SHORT_BAKE } from '../support/lab-fleet.ts';
import { REMOTE_ROOT } from '../support/lab-hosts.ts';
import { IS_PROOF } from '../support/property.ts';
import { withoutTap } from '../support/run-node.ts';
import { createSeededRandom } from '../support/seed.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const PROGRAM = resolve('test/support/deploy-process.ts');
/** Of the short forms: on one host, and on three. */
const KILLS = 3;
const FLEET_KILLS = 2;
/** Something to look at, and not for long. */
const QUICK_BAKE = { ...SHORT_BAKE, seconds: 0.3, requests_min: 10 };

function startProcess(order: DeployOrder): { child: ChildProcess; ended: Promise<number | NodeJS.Signals> } {
  const [command, ...args] = withoutTap([process.execPath, '--import=./scripts/strip-types.mjs', PROGRAM]);
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.end(JSON.stringify(order));
  const ended = once(child, 'close').then((end) => {
    const [code, signal] = end as [number | null, NodeJS.Signals | null];
    if (code !== null && code > EXIT.refused) throw new Error(said);
    return signal ?? (code as number);
  });
  return { child, ended };
}

const runProcess = (order: DeployOrder): Promise<number | NodeJS.Signals> => startProcess(order).ended;

/** Hosts that are deployed to: this machine, or those of a lab. */
interface Target extends Deploys {
  readonly manifest: Manifest;
  readonly tool: Archive;
  readonly variables: Readonly<Record<string, string>>;
  inspect(): Promise<HostFacts[]>;
}

interface Given {
  readonly target: Target;
  readonly apps: ReadonlyMap<string, Archive>;
  /** `release` null: back to the last one. */
  order(number: number, release: string | null): Omit<DeployOrder, 'way' | 'killAfter'>;
}

/** With r1. */
async function open(t: Test, target: Target): Promise<Given> {
  const apps = new Map([
    ['r1', await target.release('r1')],
    ['r2', await target.release('r2')],
    ['r3', await target.release('r3')],
  ]);
  t.equal(await target.deploy('r1', apps.get('r1') as Archive), EXIT.done, target.output());
  const folder = makeFolder(t);
  const { manifest, tool, variables } = target;
  return {
    target,
    apps,
    order: (number, release) => ({
      manifest,
      tool,
      variables,
      deploy: `deploy-${number}`,
      release,
      app: release === null ? null : (apps.get(release) as Archive),
      journal: join(folder, String(number), 'journal', `deploy-${number}.jsonl`),
    }),
  };
}

async function openMachineTarget(t: Test): Promise<Target> {
  const machine = await openMachine(t);
  return { ...machine, inspect: async () => [await machine.inspect()] };
}

/** Kills one deploy after the other, and goes on with them or back in turn. */
async function killAt(t: Test, { target, apps, order }: Given, places: readonly number[]): Promise<void> {
  let from = 'r2';
  for (const [index, killAfter] of places.entries()) {
    const to = from === 'r2' ? 'r1' : 'r2';
    const given = order(101 + index, to);
    t.equal(
      await runProcess({ ...given, way: 'begin', killAfter }),
      'SIGKILL',
      `killed at line ${killAfter}`,
    );
    const interrupted = findInterrupted(dirname(given.journal));
    t.equal(interrupted?.entries.length, killAfter);
    const facts = await target.inspect();
    t.ok(
      listOpenSteps(interrupted?.entries ?? []).length <= facts.length,
      'at most one step of a host is open',
    );
    t.equal(
      await target.deploy('r9', apps.get('r1') as Archive),
      EXIT.refused,
      'and nobody else has the hosts',
    );
    const way = index % 2 === 0 ? 'resume' : 'abort';
    const code = await runProcess({ ...given, way, killAfter: null });
    t.equal(code, EXIT.done, `${way} after line ${killAfter}`);
    if (way === 'resume') from = to;
    for (const one of await target.inspect()) {
      t.match(one, {
        current: from,
        lease: null,
        readyz: { status: 'ready', release: from },
        state: { bad: {} },
      });
      t.equal(one.state.committed.at(-1)?.release, from);
    }
    t.equal(findInterrupted(dirname(given.journal)), null);
  }
}

await t.test('a deploy that is killed is known to the step, and goes on or back', async (t) => {
  const given = await open(t, await openMachineTarget(t));
  const whole = given.order(100, 'r2');
  t.equal(await runProcess({ ...whole, way: 'begin', killAfter: null }), EXIT.done);
  const lines = countLines(whole);
  const random = createSeededRandom(t);
  // The last one is killed when all is committed, and goes back.
  const places = IS_PROOF
    ? Array.from({ length: lines - 1 }, (_, index) => [index + 1, index + 1]).flat()
    : [...Array.from({ length: KILLS }, () => 1 + Math.floor(random() * (lines - 1))), lines - 1];
  await killAt(t, given, places);
});

await t.test('a rollback that is killed goes on or back too', async (t) => {
  const { target, apps, order } = await open(t, await openMachineTarget(t));
  const app = apps.get('r2') as Archive;
  t.equal(await target.deploy('r2', app), EXIT.done, target.output());
  const whole = order(100, null);
  t.equal(await runProcess({ ...whole, way: 'begin', killAfter: null }), EXIT.done);
  const lines = countLines(whole);
  const random = createSeededRandom(t);
  // The last two are killed when all is committed.
  const places = IS_PROOF
    ? Array.from({ length: lines - 1 }, (_, index) => [index + 1, index + 1]).flat()
    : [1 + Math.floor(random() * (lines - 1)), lines - 1, lines - 1];
  let before = 'r1';
  for (const [index, killAfter] of places.entries()) {
    const next = `r${10 + index}`;
    t.equal(await target.deploy(next, app), EXIT.done, target.output());
    const given = order(101 + index, null);
    t.equal(await runProcess({ ...given, way: 'begin', killAfter }), 'SIGKILL');
    const way = index % 2 === 0 ? 'resume' : 'abort';
    t.equal(
      await runProcess({ ...given, way, killAfter: null }),
      EXIT.done,
      `${way} after line ${killAfter}`,
    );
    const [host] = await target.inspect();
    const current = way === 'resume' ? before : next;
    t.equal(host?.current, current);
    t.equal(host?.readyz?.release, current);
    t.match(host, { lease: null, readyz: { status: 'ready' } });
    t.equal(host?.state.committed.at(-1)?.release, current);
    t.equal(host?.state.bad[next] !== undefined, way === 'resume');
    t.equal(host?.state.bad[before], undefined);
    before = current;
  }
});

await t.test('so it is over three hosts, which one deploy at a time has', async (t) => {
  if (!isLabPossible(t)) return;
  const fleet = await openFleet(t, { hosts: 3, deploy: { bake: QUICK_BAKE, stable_seconds: 0.1 } });
  const given = await open(t, fleet);
  const whole = given.order(100, 'r2');
  const running = runProcess({ ...whole, way: 'begin', killAfter: null });
  await until('it has begun', () => existsSync(whole.journal));
  t.equal(await fleet.deploy('r3', given.apps.get('r3') as Archive), EXIT.refused);
  t.match(fleet.output(), /h1: somebody@laptop is deploying \(deploy-100: roll to r2\) since \d+ s\./);
  t.equal(await running, EXIT.done);
  const lines = countLines(whole);
  const random = createSeededRandom(t);
  const places = IS_PROOF
    ? Array.from({ length: lines - 1 }, (_, index) => index + 1)
    : Array.from({ length: FLEET_KILLS }, () => 1 + Math.floor(random() * (lines - 1)));
  await killAt(t, given, places);
});

await t.test('a deploy that was stopped and wakes up too late changes nothing', async (t) => {
  if (!isLabPossible(t)) return;
  const fleet = await openFleet(t, { hosts: 3, deploy: { bake: QUICK_BAKE, stable_seconds: 0.1 } });
  const { apps, order } = await open(t, fleet);
  const next = apps.get('r3') as Archive;
  const random = createSeededRandom(t);
  // From when all is rehearsed to when the last host is switched.
  const killAfter = 20 + Math.floor(random() * 30);
  const late = startProcess({ ...order(100, 'r2'), way: 'begin', killAfter, signal: 'SIGSTOP' });
  t.teardown(() => late.child.kill('SIGKILL'));
  await until('it is stopped', () => readState(late.child.pid as number) === 'T');
  t.equal(await fleet.deploy('r3', next), EXIT.refused, `stopped at line ${killAfter}`);
  t.match(
    fleet.output(),
    /h1: somebody@laptop is deploying \(deploy-100: roll to r2\) since \d+ s\. .*free in \d+ s/,
  );
  // A minute later, by the clocks of the hosts.
  for (const host of fleet.lab.hosts) {
    host.run(`sed -i 's/"untilMs":[0-9]*/"untilMs":1/' ${REMOTE_ROOT}/lease.json`);
  }
  t.equal(await fleet.deploy('r3', next), EXIT.done, fleet.output());
  const before = await fleet.inspect();
  late.child.kill('SIGCONT');
  t.ok([EXIT.failed, EXIT.mixed].includes((await late.ended) as 1 | 3), 'it says that it failed');
  t.match(
    await fleet.inspect(),
    before.map(({ readyz }) => ({
      current: 'r3',
      readyz: { status: 'ready', release: 'r3', pid: readyz?.pid },
      state: { bad: {} },
    })),
  );
});

/** As the kernel has it; T: stopped. */
function readState(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0];
}

/** Of a deploy that nobody disturbed. */
function countLines({ journal }: Pick<DeployOrder, 'journal'>): number {
  return readFileSync(journal, 'utf8').trimEnd().split('\n').length;
}
