/** Hosts of a lab (test/lab/) with the Node, PM2 and modules of the tests, and deploys to them. */

import { join } from 'node:path';
import type { Test } from 'tap';
import type { HostFacts } from '../../devops/host/inspect.ts';
import { connect, type Inventory } from '../../devops/inventory/connect.ts';
import { parseManifest } from '../../devops/manifest/read-manifest.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import type { Archive } from '../../devops/release/archive.ts';
import { type Lab, manifestOf, openLab } from '../lab/lab.ts';
import { buildTestTool, createDeploys, type Deploys } from './deploys.ts';
import { INSTALL, LENT, REMOTE_ROOT } from './lab-hosts.ts';
import { requireRoot } from './network.ts';
import { type RedirectLoad, startRedirectLoad } from './redirect-load.ts';
import { requireCommand } from './requirement.ts';
import { createSeededRandom } from './seed.ts';
import { ADMIN_KEY } from './service.ts';
import { until } from './until.ts';

/** Long enough to tell a release that fails one time in twenty. */
export const SHORT_BAKE: Manifest['deploy']['bake'] = {
  seconds: 1,
  requests_min: 100,
  error_rate_max: 0.01,
  p99_ms: 500,
};

export interface Fleet extends Deploys {
  readonly lab: Lab;
  readonly manifest: Manifest;
  readonly tool: Archive;
  readonly inventory: Inventory;
  /** Of the service. */
  readonly variables: Readonly<Record<string, string>>;
  inspect(): Promise<HostFacts[]>;
  /** People who follow a link that the first deploy made, through the balancer. */
  follow(load: { readonly connections: number; readonly restMs?: number }): Promise<RedirectLoad>;
}

export interface FleetOptions {
  readonly hosts: number;
  /** False: a host with SQLite alone. */
  readonly hasDatabase?: boolean;
  /** `deploy` of the manifest, instead of what labs have; and what else is different. */
  readonly deploy?: Partial<Manifest['deploy']>;
  readonly manifest?: Partial<Extract<Manifest, { provider: 'hosts' }>>;
  /** Nothing is put on the hosts. */
  readonly isBare?: boolean;
}

/** False: the test has been ended. */
export function isLabPossible(t: Test): boolean {
  return (
    requireRoot(t, 'hosts in namespaces') &&
    ['ip', 'sshd', 'tini', 'haproxy', 'initdb'].every((command) => requireCommand(t, command))
  );
}

export async function openFleet(
  t: Test,
  { hosts, hasDatabase = true, deploy = {}, manifest: different = {}, isBare = false }: FleetOptions,
): Promise<Fleet> {
  const lab = await openLab({ hosts, hasDatabase, lent: LENT, defer: (work) => t.teardown(work) });
  const usual = parseManifest(manifestOf(lab), 'lab.yaml');
  const manifest = { ...usual, ...different, deploy: { ...usual.deploy, ...deploy } } as Manifest;
  const tool = await buildTestTool(t);
  const inventory = connect({ manifest, tool, variables: process.env });
  t.teardown(() => inventory.close());
  if (!isBare) for (const client of inventory.clients.values()) await client.run(INSTALL);
  const variables = {
    ...manifest.service,
    ADMIN_API_KEY: ADMIN_KEY,
    DATA_DIR: join(REMOTE_ROOT, 'shared/data'),
    TRUST_PROXY: lab.network.gateway,
    ...(lab.databaseUrl !== null && { DATABASE_URL: lab.databaseUrl }),
  };
  const deploys = await createDeploys(t, { manifest, clients: inventory.clients, variables });
  const random = createSeededRandom(t);
  return {
    ...deploys,
    lab,
    manifest,
    tool,
    inventory,
    variables,
    inspect: () =>
      Promise.all([...inventory.clients.values()].map((client) => client.call<HostFacts>('inspect'))),
    async follow(given) {
      const load = startRedirectLoad({
        ...given,
        url: lab.url,
        keys: ['fleetlink-smoke'],
        random,
        reconnects: true,
      });
      t.teardown(() => load.stop());
      await until('it is under load', () => load.answers() > 3 * given.connections);
      return load;
    },
  };
}
