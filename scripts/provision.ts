// `npm run provision -- --env staging`: makes the hosts of an environment ready for deploys. Changes only what is not as it should be, so a
// second run changes nothing. `--check` says what would be changed.
import { existsSync, readFileSync } from 'node:fs';
import { connectAdmins, expandHome, leaveOut } from '../devops/inventory/connect.ts';
import { ManifestError } from '../devops/manifest/read-manifest.ts';
import { ingressOf } from '../devops/manifest/schema.ts';
import { provision, type TaskReport } from '../devops/provision/provision.ts';
import { listTasks } from '../devops/provision/tasks.ts';
import { buildBase } from '../devops/release/base.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { countFloor } from '../devops/roll/plan.ts';
import { readArguments } from './arguments.ts';
import { CACHE } from './deploy-places.ts';
import { PERSON, withEnvironment } from './environment.ts';

const MARKS = { ok: '✓', changed: '±', failed: '✗' };
const given = readArguments('npm run provision -- --env NAME [--check] [--except HOST]', {
  env: { type: 'string' },
  check: { type: 'boolean', default: false },
  except: { type: 'string', multiple: true, default: [] },
});
const { values } = given;
await withEnvironment(given.environment(), {}, async ({ manifest, clients, root }) => {
  if (manifest.provider === 'local')
    throw new ManifestError('This machine needs no provisioning: deploy to it.');
  const names = leaveOut([...clients.keys()], values.except);
  console.log('base: Node and PM2');
  const { platform, arch } = process;
  const base = await buildBase({ cache: CACHE, variables: process.env, platform, arch });
  const admins = connectAdmins(manifest, names);
  try {
    const { user, identity } = manifest.ssh;
    const reports = await provision({
      root,
      admins,
      clients,
      base,
      tasks: listTasks({ user, root, publicKey: readPublicKey(identity), ingress: ingressOf(manifest) }),
      holder: PERSON,
      floor: countFloor(clients.size, manifest.deploy.floor),
      drainMs: manifest.deploy.drain_seconds * 1000,
      balancerMs: manifest.deploy.balancer_seconds * 1000,
      isCheck: values.check,
      onReport: ({ host, task, result, detail }) =>
        console.log(`${MARKS[result]} ${host}  ${task}  ${result}${detail === '' ? '' : `  ${detail}`}`),
    });
    recap(names, reports);
    return reports.some(({ result }) => result === 'failed') ? EXIT.failed : EXIT.done;
  } finally {
    await Promise.all([...admins.values()].map((admin) => admin.close()));
  }
});

function recap(hosts: readonly string[], reports: readonly TaskReport[]): void {
  const width = Math.max(...hosts.map(({ length }) => length));
  console.log('');
  for (const host of hosts) {
    const count = (wanted: TaskReport['result']): number =>
      reports.filter((one) => one.host === host && one.result === wanted).length;
    console.log(
      `${host.padEnd(width)}  ok ${count('ok')}  changed ${count('changed')}  failed ${count('failed')}`,
    );
  }
  if (values.check) console.log('\nNothing was changed.');
  else if (reports.every(({ result }) => result !== 'failed'))
    console.log(`\nnext: npm run deploy -- --env ${values.env}`);
}

/** Null: ssh finds a key of its own, which somebody has admitted there. */
function readPublicKey(identity: string | undefined): string | null {
  if (identity === undefined) return null;
  const path = `${expandHome(identity)}.pub`;
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : null;
}
