/** This machine as a host of a test's own: a root folder, ports and a PM2, and the Node, PM2 and modules of the tests. */

import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import type { HostFacts } from '../../devops/host/inspect.ts';
import { connect } from '../../devops/inventory/connect.ts';
import { parseManifest } from '../../devops/manifest/read-manifest.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import type { Archive } from '../../devops/release/archive.ts';
import type { HostClient } from '../../devops/remote/host-client.ts';
import { findFreePort } from '../../scripts/processes.ts';
import { buildTestTool, createDeploys, type Deploys } from './deploys.ts';
import { TEST_MODULES } from './lab-hosts.ts';
import { runNode } from './run-node.ts';
import { ADMIN_KEY, makeFolder } from './service.ts';

const MANIFEST = parseManifest(
  'provider: local\nservice: { BASE_URL: http://sho.rt }\ndeploy: { stable_seconds: 0.5, load_max: 1000, bake: { seconds: 1, requests_min: 40 } }\n',
  'test.yaml',
);

export interface Machine extends Deploys {
  readonly root: string;
  readonly manifest: Manifest;
  readonly client: HostClient;
  readonly tool: Archive;
  /** Of the service. */
  readonly variables: Readonly<Record<string, string>>;
  readonly url: string;
  inspect(): Promise<HostFacts>;
}

export async function openMachine(t: Test): Promise<Machine> {
  const root = makeFolder(t);
  const [port, managementPort] = [await findFreePort(), await findFreePort()];
  const tool = await buildTestTool(t);
  const manifest: Manifest = { ...MANIFEST, root };
  const { clients, close } = connect({ manifest, tool, variables: process.env });
  t.teardown(close);
  const client = clients.get('local') as HostClient;
  installTestBase(root);
  t.teardown(() =>
    runNode([resolve('node_modules/pm2/bin/pm2'), 'kill'], { ...process.env, PM2_HOME: join(root, 'pm2') }),
  );
  await client.sendTool();
  const variables = {
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
    HOST: '127.0.0.1',
    BASE_URL: 'http://sho.rt',
    ADMIN_API_KEY: ADMIN_KEY,
    DATA_DIR: join(root, 'shared/data'),
  };
  const deploys = await createDeploys(t, { manifest, clients, variables });
  return {
    ...deploys,
    root,
    manifest,
    client,
    tool,
    variables,
    url: `http://127.0.0.1:${port}`,
    inspect: () => client.call<HostFacts>('inspect'),
  };
}

/** Node, PM2 and modules as this machine has them. */
function installTestBase(root: string): void {
  mkdirSync(join(root, 'base/test/bin'), { recursive: true });
  mkdirSync(join(root, 'base/test/pm2/node_modules'), { recursive: true });
  mkdirSync(join(root, 'layers', TEST_MODULES), { recursive: true });
  symlinkSync(process.execPath, join(root, 'base/test/bin/node'));
  symlinkSync(resolve('node_modules/pm2'), join(root, 'base/test/pm2/node_modules/pm2'));
  symlinkSync('test', join(root, 'base/current'));
  symlinkSync(resolve('node_modules'), join(root, 'layers', TEST_MODULES, 'node_modules'));
}
