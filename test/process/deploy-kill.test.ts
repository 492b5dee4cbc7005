// Whoever deploys is killed at each line of the journal: what is known of it is exact, the host is held until it is gone on with, and
// both ways lead to where they should.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { Archive } from '../../devops/release/archive.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { findInterrupted, listOpenSteps } from '../../devops/roll/record.ts';
import { type Machine, openMachine } from '../support/deploy-machine.ts';
import type { DeployOrder } from '../support/deploy-process.ts';
import { IS_PROOF } from '../support/property.ts';
import { withoutTap } from '../support/run-node.ts';
import { createSeededRandom } from '../support/seed.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const PROGRAM = resolve('test/support/deploy-process.ts');
/** Of the short form. */
const KILLS = 3;

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

interface Given {
  readonly machine: Machine;
  readonly apps: ReadonlyMap<string, Archive>;
  order(number: number, release: string): Omit<DeployOrder, 'way' | 'killAfter'>;
}

/** With r1. */
async function open(t: Test): Promise<Given> {
  const machine = await openMachine(t);
  const apps = new Map([
    ['r1', await machine.release('r1')],
    ['r2', await machine.release('r2')],
    ['r3', await machine.release('r3')],
  ]);
  t.equal(await machine.deploy('r1', apps.get('r1') as Archive), EXIT.done, machine.output());
  const folder = makeFolder(t);
  return {
    machine,
    apps,
    order: (number, release) => ({
      root: machine.root,
      tool: machine.tool,
      variables: machine.variables,
      deploy: `deploy-${number}`,
      release,
      app: apps.get(release) as Archive,
      journal: join(folder, String(number), 'journal', `deploy-${number}.jsonl`),
    }),
  };
}

await t.test('a deploy that is killed is known to the step, and goes on or back', async (t) => {
  const { machine, apps, order } = await open(t);
  const whole = order(100, 'r2');
  t.equal(await runProcess({ ...whole, way: 'begin', killAfter: null }), EXIT.done);
  const lines = countLines(t, machine);
  let from = 'r2';
  const random = createSeededRandom(t);
  // The last one is killed when all is committed, and goes back.
  const places = IS_PROOF
    ? Array.from({ length: lines - 1 }, (_, index) => [index + 1, index + 1]).flat()
    : [...Array.from({ length: KILLS }, () => 1 + Math.floor(random() * (lines - 1))), lines - 1];
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
    t.ok(listOpenSteps(interrupted?.entries ?? []).length <= 1, 'at most one step is open');
    t.equal(
      await machine.deploy('r9', apps.get('r1') as Archive),
      EXIT.refused,
      'and nobody else has the host',
    );
    const way = index % 2 === 0 ? 'resume' : 'abort';
    const code = await runProcess({ ...given, way, killAfter: null });
    t.equal(code, EXIT.done, `${way} after line ${killAfter}`);
    if (way === 'resume') from = to;
    const facts = await machine.inspect();
    t.match(facts, {
      current: from,
      lease: null,
      readyz: { status: 'ready', release: from },
      state: { bad: {} },
    });
    t.equal(facts.state.committed.at(-1)?.release, from);
    t.equal(findInterrupted(dirname(given.journal)), null);
  }
});

await t.test('a deploy that was stopped and wakes up too late changes nothing', async (t) => {
  const { machine, apps, order } = await open(t);
  const random = createSeededRandom(t);
  // From when all is rehearsed to when all is switched.
  const killAfter = 7 + Math.floor(random() * 6);
  const late = startProcess({ ...order(100, 'r2'), way: 'begin', killAfter, signal: 'SIGSTOP' });
  t.teardown(() => late.child.kill('SIGKILL'));
  await until('it is stopped', () => readState(late.child.pid as number) === 'T');
  t.equal(
    await machine.deploy('r3', apps.get('r3') as Archive),
    EXIT.refused,
    `stopped at line ${killAfter}`,
  );
  t.match(
    machine.output(),
    /somebody@laptop is deploying \(deploy-100: roll to r2\) since \d+ s\. .*free in \d+ s/,
  );
  // A minute later, by the clock of the host.
  const path = join(machine.root, 'lease.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), untilMs: Date.now() - 1 }));
  t.equal(await machine.deploy('r3', apps.get('r3') as Archive), EXIT.done, machine.output());
  const { readyz } = await machine.inspect();
  late.child.kill('SIGCONT');
  t.ok([EXIT.failed, EXIT.mixed].includes((await late.ended) as 1 | 3), 'it says that it failed');
  t.match(await machine.inspect(), {
    current: 'r3',
    readyz: { status: 'ready', release: 'r3', pid: readyz?.pid },
    state: { bad: {} },
  });
});

/** As the kernel has it; T: stopped. */
function readState(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0];
}

/** Of a deploy that nobody disturbs: begun, two for each step, ended. */
function countLines(t: Test, machine: Machine): number {
  const steps = (machine.output().match(/ {4}✓ local/g) ?? []).length;
  t.ok(steps > 5);
  return 2 + 2 * steps;
}
