// A roll over hosts with disks, processes and addresses of their own, reached over SSH, that share a PostgreSQL behind a balancer: people
// who follow links meanwhile notice nothing.

import t, { type Test } from 'tap';
import { EXIT } from '../../devops/roll/deploy.ts';
import { isLabPossible, openFleet, SHORT_BAKE } from '../support/lab-fleet.ts';

async function main(t: Test): Promise<void> {
  await t.test('three hosts take a release, another, and the first again, under load', async (t) => {
    const fleet = await openFleet(t, { hosts: 3, deploy: { bake: SHORT_BAKE } });
    const { lab } = fleet;
    t.equal(await fleet.deploy('r1', await fleet.release('r1')), EXIT.done, fleet.output());
    const load = await fleet.follow({ connections: 30, restMs: 50 });
    t.equal(await fleet.deploy('r2', await fleet.release('r2')), EXIT.done, fleet.output());
    t.match(
      await fleet.inspect(),
      lab.hosts.map(() => ({ current: 'r2', readyz: { status: 'ready', release: 'r2' }, lease: null })),
    );
    t.equal(await fleet.rollback(), EXIT.done, fleet.output());
    const { refusals, inFlightTotal, answeredTotal } = await load.stop();
    t.same([refusals, inFlightTotal], [[], 0], `of ${answeredTotal} redirects none failed`);
    t.match(
      await fleet.inspect(),
      lab.hosts.map(() => ({ current: 'r1', readyz: { status: 'ready', release: 'r1' } })),
    );
  });
}

if (isLabPossible(t)) await main(t);
