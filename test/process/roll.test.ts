// A roll over hosts with disks, processes and addresses of their own, reached over SSH, that share a PostgreSQL behind a balancer: people
// who follow links meanwhile notice nothing.

import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { HostFacts } from '../../devops/host/inspect.ts';
import { connect, type Inventory } from '../../devops/inventory/connect.ts';
import { parseManifest } from '../../devops/manifest/read-manifest.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { type Lab, manifestOf, openLab } from '../lab/lab.ts';
import { buildTestTool, createDeploys, type Deploys, TEST_MODULES } from '../support/deploys.ts';
import { requireRoot } from '../support/network.ts';
import { startRedirectLoad } from '../support/redirect-load.ts';
import { requireCommand } from '../support/requirement.ts';
import { createSeededRandom } from '../support/seed.ts';
import { ADMIN_KEY } from '../support/service.ts';
import { until } from '../support/until.ts';

const ROOT = '/opt/fleetlink';
const LENT = { node: process.execPath, node_modules: resolve('node_modules') };
/** Node, PM2 and modules of this machine, where a host looks for them. */
const INSTALL = `set -e; cd ${ROOT}; mkdir -p base/test/bin base/test/pm2 layers/${TEST_MODULES}
ln -s /opt/lent/node base/test/bin/node
ln -s /opt/lent/node_modules base/test/pm2/node_modules
ln -s test base/current
ln -s /opt/lent/node_modules layers/${TEST_MODULES}/node_modules`;

interface Fleet extends Deploys {
  readonly lab: Lab;
  readonly inventory: Inventory;
  inspect(): Promise<HostFacts[]>;
}

async function openFleet(t: Test, hosts: number): Promise<Fleet> {
  const lab = await openLab({ hosts, hasDatabase: true, lent: LENT, defer: (work) => t.teardown(work) });
  const manifest = parseManifest(manifestOf(lab), 'lab.yaml');
  const inventory = connect({ manifest, tool: await buildTestTool(t), variables: process.env });
  t.teardown(() => inventory.close());
  for (const client of inventory.clients.values()) await client.run(INSTALL);
  const deploys = await createDeploys(t, {
    manifest,
    clients: inventory.clients,
    variables: {
      ...manifest.service,
      ADMIN_API_KEY: ADMIN_KEY,
      DATA_DIR: join(ROOT, 'shared/data'),
      DATABASE_URL: lab.databaseUrl as string,
      TRUST_PROXY: lab.network.gateway,
    },
  });
  return {
    ...deploys,
    lab,
    inventory,
    inspect: () =>
      Promise.all([...inventory.clients.values()].map((client) => client.call<HostFacts>('inspect'))),
  };
}

async function main(t: Test): Promise<void> {
  await t.test('three hosts take a release, another, and the first again, under load', async (t) => {
    const fleet = await openFleet(t, 3);
    const { lab } = fleet;
    t.equal(await fleet.deploy('r1', await fleet.release('r1')), EXIT.done, fleet.output());
    const load = startRedirectLoad({
      url: lab.url,
      connections: 30,
      keys: ['fleetlink-smoke'],
      random: createSeededRandom(t),
      reconnects: true,
      restMs: 50,
    });
    t.teardown(() => load.stop());
    await until('it is under load', () => load.answers() > 100);
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

const isPossible =
  requireRoot(t, 'hosts in namespaces') &&
  ['ip', 'sshd', 'tini', 'haproxy', 'initdb'].every((command) => requireCommand(t, command));
if (isPossible) await main(t);
