// A deploy to this machine, with real PM2 and real releases: a first one, a second one under load, one that does not start, and the way
// back. The base and the modules are those of the tests; building them is proven by `npm run prove`.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readJournal } from '../../devops/audit/journal.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { openMachine } from '../support/deploy-machine.ts';
import { beginWith } from '../support/deploys.ts';
import { startRedirectLoad } from '../support/redirect-load.ts';
import { createSeededRandom } from '../support/seed.ts';
import { ADMIN_KEY, ask } from '../support/service.ts';
import { until } from '../support/until.ts';

await t.test('a machine gets its first release, then others, and keeps what works', async (t) => {
  const lab = await openMachine(t);
  const [r1, r2] = [await lab.release('r1'), await lab.release('r2')];

  t.equal(await lab.deploy('r1', r1), EXIT.done, lab.output());
  const first = await lab.inspect();
  t.match(first, {
    current: 'r1',
    lease: null,
    readyz: { status: 'ready', release: 'r1', nonce: 'nonce-of-deploy-1' },
    state: { committed: [{ release: 'r1', deploy: 'deploy-1' }] },
  });
  t.match(
    lab.output(),
    /local {2}nothing → r1 {2}pid – → \d+ {2}ready \d+ ms {2}0 of \d+ requests failed {2}✓/,
  );
  t.match(lab.output(), /serves {4}http:\/\/sho\.rt\/fleetlink-smoke/);

  const loaded = { connections: 20, keys: ['fleetlink-smoke'], reconnects: true, restMs: 20 };
  const load = startRedirectLoad({ ...loaded, url: lab.url, random: createSeededRandom(t) });
  t.teardown(() => load.stop());
  await until('it is under load', () => load.answers() > 100);
  t.equal(await lab.deploy('r2', r2), EXIT.done, lab.output());
  const { refusals, inFlightTotal } = await load.stop();
  t.same([refusals, inFlightTotal], [[], 0], 'nobody who follows a link has noticed');
  const second = await lab.inspect();
  t.match(second, {
    current: 'r2',
    readyz: { release: 'r2', nonce: 'nonce-of-deploy-2' },
    service: { status: 'online' },
  });
  t.not(second.service?.pid, first.service?.pid);

  const broken = await lab.release('r3', beginWith("throw new Error('a mistake of ours');"));
  t.equal(await lab.deploy('r3', broken), EXIT.failed);
  t.match(
    lab.output(),
    /rehearse on local failed: The migration of r3 ended with 1\.\n(?:.*\n)*.*a mistake of ours/,
  );
  t.match(lab.output(), /No host was switched/);
  t.equal((await lab.inspect()).service?.pid, second.service?.pid, 'what runs was not touched');

  // It starts where it is rehearsed, and not where it is needed.
  const late = await lab.release(
    'r4',
    beginWith("if (process.env.pm_id !== undefined) throw new Error('only here');"),
  );
  const unlucky = startRedirectLoad({ ...loaded, url: lab.url, random: createSeededRandom(t) });
  t.teardown(() => unlucky.stop());
  t.equal(await lab.deploy('r4', late), EXIT.undone, lab.output());
  t.match(lab.output(), /r4 did not take over: it was not ready within 20 s\. r2 serves on\./);
  t.match(lab.output(), /only here/);
  const unnoticed = await unlucky.stop();
  t.same([unnoticed.refusals, unnoticed.inFlightTotal], [[], 0], 'nor that');
  t.match(lab.output(), /↺ local is back at r2/);
  const third = await lab.inspect();
  t.match(third, {
    current: 'r2',
    readyz: { status: 'ready', release: 'r2' },
    service: { status: 'online' },
  });
  t.match(third.state, { committed: [{ release: 'r1' }, { release: 'r2' }], bad: { r4: /^undone by / } });
  t.equal(await lab.deploy('r4', late), EXIT.refused);
  t.match(
    lab.output(),
    /r4 is marked bad there: it was undone, or rolled back from\. Deploy another commit; .* \(policy not-bad\)/,
  );

  t.equal(await lab.rollback(), EXIT.done, lab.output());
  t.match(await lab.inspect(), { current: 'r1', readyz: { release: 'r1' }, state: { bad: { r2: /./ } } });
  await t.rejects(lab.rollback(), { message: /There is no release to go back to/ });
  t.equal((await ask('GET', `${lab.url}/fleetlink-smoke`, { key: null })).status, 302);

  for (const text of lab.readJournals()) t.ok(readJournal(text).length > 3, 'each journal holds together');
  t.ok(existsSync(join(lab.root, 'journal/deploy-2.jsonl')), 'and lies on the host too');
  t.notOk(lab.readJournals().join('').includes(ADMIN_KEY), 'without secrets');
  t.notOk(lab.output().includes(ADMIN_KEY));
});

await t.test('of two deploys at once one is told who has the host', async (t) => {
  const lab = await openMachine(t);
  await lab.client.call('acquire', { deploy: 'another', holder: 'other@desk', doing: 'roll to r9' });
  t.equal(await lab.deploy('r1', await lab.release('r1')), EXIT.refused);
  t.match(lab.output(), /Refused\. local: other@desk is deploying \(another: roll to r9\) since \d+ s/);
  t.equal((await lab.inspect()).current, null);
});

await t.test('a layer that arrives damaged is not unpacked', async (t) => {
  const lab = await openMachine(t);
  const app = await lab.release('r1');
  t.equal(await lab.deploy('r1', { ...app, sha256: 'ab'.repeat(32) }), EXIT.failed);
  t.match(lab.output(), /upload on local failed: Layer app-r1 arrived with SHA-256/);
  t.notOk(existsSync(join(lab.root, 'layers', app.id)));
});

await t.test(
  'other variables of the release that runs are taken back where it does not start with them',
  async (t) => {
    const lab = await openMachine(t);
    const app = await lab.release('r1');
    t.equal(await lab.deploy('r1', app), EXIT.done, lab.output());
    // It is rehearsed on the loopback interface, so nobody sees before the switch that this is no address of ours.
    const variables = { ...lab.variables, HOST: '192.0.2.77' };
    t.equal(await lab.deploy('r1', app, { variables }), EXIT.undone, lab.output());
    t.match(await lab.inspect(), {
      current: 'r1',
      readyz: { status: 'ready', release: 'r1' },
      state: { committed: [{ release: 'r1' }], bad: {} },
    });
    t.equal((await ask('HEAD', `${lab.url}/fleetlink-smoke`)).status, 302);
  },
);

await t.test('a PM2 that ends while it lets a release take over is noticed at once', async (t) => {
  const lab = await openMachine(t);
  t.equal(await lab.deploy('r1', await lab.release('r1')), EXIT.done, lab.output());
  let isKilled = false;
  const onLine = (line: string): void => {
    const { type, step } = JSON.parse(line) as { type: string; step?: string };
    if (isKilled || type !== 'intent' || step !== 'switch local r2') return;
    isKilled = true;
    // While it starts the new process, which takes longer than that.
    setTimeout(
      () => process.kill(Number(readFileSync(join(lab.root, 'pm2/pm2.pid'), 'utf8')), 'SIGKILL'),
      300,
    );
  };
  t.equal(await lab.deploy('r2', await lab.release('r2'), { onLine }), EXIT.undone, lab.output());
  t.match(lab.output(), /switch on local failed: pm2 reload failed: its daemon ended in the middle/);
  t.match(await lab.inspect(), { current: 'r1', readyz: { status: 'ready', release: 'r1' } });
});
