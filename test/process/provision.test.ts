// Hosts with nothing but sshd, sh and tar become hosts that can be deployed to, and get another Node while people follow links.

import { mkdirSync, symlinkSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { connectAdmins } from '../../devops/inventory/connect.ts';
import { ingressOf, type Manifest } from '../../devops/manifest/schema.ts';
import { provision, type TaskReport } from '../../devops/provision/provision.ts';
import { listTasks } from '../../devops/provision/tasks.ts';
import { archiveOnce } from '../../devops/release/archive.ts';
import type { Base } from '../../devops/release/base.ts';
import type { HostClient } from '../../devops/remote/host-client.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { type Fleet, isLabPossible, openFleet, SHORT_BAKE } from '../support/lab-fleet.ts';
import { INSTALL_MODULES, REMOTE_ROOT } from '../support/lab-hosts.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const DOMAIN = 'links.test';
/** As a server is when somebody has just ordered it. */
const BARE = `sed -i /^fleetlink:/d /etc/passwd /etc/group /etc/shadow; rm -rf /home/fleetlink ${REMOTE_ROOT}`;

/** Node and PM2 of this machine, as hosts are lent them. */
async function makeBase(t: Test, id: string): Promise<Base> {
  const archive = await archiveOnce(makeFolder(t), id, async () => {
    const folder = makeFolder(t);
    for (const name of ['bin', 'pm2']) mkdirSync(join(folder, name));
    symlinkSync('/opt/lent/node', join(folder, 'bin/node'));
    symlinkSync('/opt/lent/node_modules', join(folder, 'pm2/node_modules'));
    return { folder, remove: () => undefined };
  });
  return { ...archive, toolchain: '' };
}

type Hosts = Extract<Manifest, { provider: 'hosts' }>;

async function provisionAll(
  fleet: Fleet,
  { base, isCheck = false }: { base: Base; isCheck?: boolean },
): Promise<TaskReport[]> {
  const manifest = fleet.manifest as Hosts;
  const { user, identity } = manifest.ssh;
  const admins = connectAdmins(manifest, [...fleet.inventory.clients.keys()]);
  try {
    const publicKey = fleet.lab.publicKey;
    if (identity === undefined) throw new Error('The lab has a key.');
    return await provision({
      root: REMOTE_ROOT,
      admins,
      clients: fleet.inventory.clients,
      tasks: listTasks({ user, root: REMOTE_ROOT, publicKey, ingress: ingressOf(manifest) }),
      base,
      holder: 'somebody@laptop',
      floor: 1,
      drainMs: 5000,
      balancerMs: 2000,
      isCheck,
      onReport: () => undefined,
    });
  } finally {
    await Promise.all([...admins.values()].map((admin) => admin.close()));
  }
}

/** `result` of each task, by host. */
function resultsOf(reports: readonly TaskReport[], host: string): Record<string, string> {
  return Object.fromEntries(
    reports
      .filter((one) => one.host === host)
      .map(({ task, result, detail }) => [task, result === 'failed' ? detail : result]),
  );
}

/** By the name that is served, and trusting Caddy's own authority alone. */
function followByName(address: string, ca: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = {
      host: address,
      servername: DOMAIN,
      ca,
      headers: { host: DOMAIN },
      agent: false as const,
    };
    get({ ...options, path: '/fleetlink-smoke', timeout: 5000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode as number);
    })
      .on('timeout', function (this: import('node:http').ClientRequest) {
        this.destroy(new Error('no answer within 5 s'));
      })
      .on('error', reject);
  });
}

async function main(t: Test): Promise<void> {
  const fleet = await openFleet(t, {
    hosts: 2,
    deploy: { bake: SHORT_BAKE },
    isBare: true,
    manifest: { ingress: 'caddy', domains: [DOMAIN], certificates: 'internal' },
  });
  const { lab } = fleet;
  const names = lab.hosts.map(({ name }) => name);
  for (const host of lab.hosts) host.run(BARE);
  const first = await makeBase(t, 'base-one');
  const tasks = ['user', 'key', 'folder', 'boot', 'ingress', 'base'];

  await t.test('what others have there is left as it is', async (t) => {
    const [one] = lab.hosts;
    one?.run(`mkdir ${REMOTE_ROOT}; touch ${REMOTE_ROOT}/theirs`);
    const { folder } = resultsOf(await provisionAll(fleet, { base: first, isCheck: true }), 'h1');
    t.match(folder, /opt\/fleetlink is there and belongs to somebody else: choose a folder of its own/);
    one?.run(
      `rm -r ${REMOTE_ROOT}; mkdir -p /etc/caddy; echo 'shop.test { respond hello }' >/etc/caddy/Caddyfile`,
    );
    const { ingress } = resultsOf(await provisionAll(fleet, { base: first, isCheck: true }), 'h1');
    t.match(ingress, /etc\/caddy\/Caddyfile is somebody else's/);
    one?.run('rm /etc/caddy/Caddyfile');
  });

  await t.test('a bare host gets what it lacks, and a second run changes nothing', async (t) => {
    const would = await provisionAll(fleet, { base: first, isCheck: true });
    t.match(resultsOf(would, 'h1'), { user: 'changed', key: 'changed', folder: 'changed', base: 'changed' });
    t.notMatch(lab.hosts[0]?.run('cat /etc/passwd'), /fleetlink/, 'and --check changes nothing');
    const made = await provisionAll(fleet, { base: first });
    for (const name of names) {
      t.same(resultsOf(made, name), {
        ...Object.fromEntries(tasks.map((task) => [task, 'changed'])),
        // There is no systemd.
        boot: 'ok',
      });
    }
    const again = await provisionAll(fleet, { base: first });
    for (const name of names)
      t.same(resultsOf(again, name), Object.fromEntries(tasks.map((task) => [task, 'ok'])));
  });

  for (const client of fleet.inventory.clients.values()) await client.run(INSTALL_MODULES);
  t.equal(await fleet.deploy('r1', await fleet.release('r1')), EXIT.done, fleet.output());

  await t.test('Caddy on each host follows links by their name, also while a host is replaced', async (t) => {
    const [one] = lab.hosts;
    const ca = String(one?.run('cat /root/.local/share/caddy/pki/authorities/local/root.crt'));
    const address = String(one?.address);
    await until('it answers', async () => (await followByName(address, ca)) === 302);
    let isOver = false;
    const statuses: (number | string)[] = [];
    const following = (async () => {
      while (!isOver) statuses.push(await followByName(address, ca).catch((error: Error) => error.message));
    })();
    t.equal(await fleet.deploy('r2', await fleet.release('r2')), EXIT.done, fleet.output());
    isOver = true;
    await following;
    t.same(
      statuses.filter((status) => status !== 302),
      [],
      `of ${statuses.length}`,
    );
  });

  await t.test('another base takes one drained host at a time', async (t) => {
    const load = await fleet.follow({ connections: 20, restMs: 50 });
    const second = await makeBase(t, 'base-two');
    const reports = await provisionAll(fleet, { base: second });
    const { refusals, inFlightTotal, answeredTotal } = await load.stop();
    for (const name of names)
      t.match(resultsOf(reports, name), { user: 'ok', ingress: 'ok', base: 'changed' });
    t.match(
      reports.find(({ task, result }) => task === 'base' && result === 'changed')?.detail,
      /base-one → base-two/,
    );
    t.same([refusals, inFlightTotal], [[], 0], `of ${answeredTotal} redirects none failed`);
    t.match(
      await fleet.inspect(),
      names.map(() => ({ current: 'r2', readyz: { status: 'ready', release: 'r2' }, lease: null })),
    );
    for (const host of lab.hosts)
      t.equal(host.run(`readlink ${REMOTE_ROOT}/base/current`).trim(), 'base-two');
    t.match(
      await provisionAll(fleet, { base: second }),
      names.flatMap(() => tasks).map(() => ({ result: 'ok' })),
    );
  });

  await t.test('an exchange that was ended in the middle is ended by the next run', async (t) => {
    const [one] = lab.hosts;
    const client = fleet.inventory.clients.get('h1') as HostClient;
    const { epoch } = await client.call<{ epoch: number }>('acquire', {
      deploy: 'provision-ended',
      holder: 'somebody@laptop',
      doing: 'base base-two',
    });
    client.claim({ deploy: 'provision-ended', epoch });
    // Its service is stopped, and it stands on the next base, of which nobody knows whether it does.
    await client.call('stop', { isLasting: false });
    await client.run(`printf base-one >${REMOTE_ROOT}/base/exchanged-from`);
    client.claim(null);
    const second = await makeBase(t, 'base-two');
    const refused = await provisionAll(fleet, { base: second });
    t.match(resultsOf(refused, 'h1').base, /somebody@laptop is deploying \(provision-ended: base base-two\)/);
    t.equal(resultsOf(refused, 'h2').base, undefined, 'and nobody else is touched meanwhile');
    one?.run(`sed -i 's/"untilMs":[0-9]*/"untilMs":1/' ${REMOTE_ROOT}/lease.json`);
    t.match(resultsOf(await provisionAll(fleet, { base: second }), 'h1'), { base: 'changed' });
    t.match(await client.call('inspect'), { readyz: { status: 'ready', release: 'r2' }, lease: null });
    t.match(resultsOf(await provisionAll(fleet, { base: second }), 'h1'), { base: 'ok' });
  });

  await t.test('a base that does not start is left again', async (t) => {
    const broken = await archiveOnce(makeFolder(t), 'base-broken', async () => {
      const folder = makeFolder(t);
      for (const name of ['bin', 'pm2']) mkdirSync(join(folder, name));
      symlinkSync('/bin/false', join(folder, 'bin/node'));
      symlinkSync('/opt/lent/node_modules', join(folder, 'pm2/node_modules'));
      return { folder, remove: () => undefined };
    });
    const reports = await provisionAll(fleet, { base: { ...broken, toolchain: '' } });
    t.match(
      reports.filter(({ result }) => result === 'failed'),
      [{ host: 'h1', task: 'base', detail: /It is back on base-two/ }],
    );
    t.notOk(
      reports.some(({ host, task }) => host === 'h2' && task === 'base'),
      'and no other host takes it',
    );
    await until('it serves again', async () => {
      const facts = await fleet.inspect();
      return facts.every(({ readyz }) => readyz?.status === 'ready');
    });
  });
}

if (isLabPossible(t) && requireCommand(t, 'caddy')) await t.test('hosts become what is deployed to', main);
