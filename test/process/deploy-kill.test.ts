// Whoever deploys is killed at each line of the journal: what is known of it is exact, the host is held until it is gone on with, and
// both ways lead to where they should.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { EXIT } from '../../devops/roll/deploy.ts';
import { findInterrupted, listOpenSteps } from '../../devops/roll/record.ts';
import { type Machine, openMachine } from '../support/deploy-machine.ts';
import type { DeployOrder } from '../support/deploy-process.ts';
import { IS_PROOF } from '../support/property.ts';
import { withoutTap } from '../support/run-node.ts';
import { createSeededRandom } from '../support/seed.ts';
import { makeFolder } from '../support/service.ts';

const PROGRAM = resolve('test/support/deploy-process.ts');
/** Of the short form. */
const KILLS = 3;

async function runProcess(order: DeployOrder): Promise<number | NodeJS.Signals> {
  const [command, ...args] = withoutTap([process.execPath, '--import=./scripts/strip-types.mjs', PROGRAM]);
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.end(JSON.stringify(order));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (code !== null && code > EXIT.refused) throw new Error(said);
  return signal ?? (code as number);
}

await t.test('a deploy that is killed is known to the step, and goes on or back', async (t) => {
  const machine = await openMachine(t);
  const apps = new Map([
    ['r1', await machine.release('r1')],
    ['r2', await machine.release('r2')],
  ]);
  t.equal(await machine.deploy('r1', apps.get('r1') as never), EXIT.done, machine.output());
  const folder = makeFolder(t);
  const order = (number: number, release: string): Omit<DeployOrder, 'way' | 'killAfter'> => ({
    root: machine.root,
    tool: machine.tool,
    variables: machine.variables,
    deploy: `deploy-${number}`,
    release,
    app: apps.get(release) as never,
    journal: join(folder, String(number), 'journal', `deploy-${number}.jsonl`),
  });

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
      await machine.deploy('r9', apps.get('r1') as never),
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

/** Of a deploy that nobody disturbs: begun, two for each step, ended. */
function countLines(t: Test, machine: Machine): number {
  const steps = (machine.output().match(/ {4}✓ local/g) ?? []).length;
  t.ok(steps > 5);
  return 2 + 2 * steps;
}
