// `npm run bench:deploy`: what a deploy of changed code takes, to hosts of the lab (test/lab/), beside ansible-playbook and what a line of
// shell takes that proves nothing. All three send the same files to the same hosts, and each round begins with what the one before left.
// Needs root, and the Debian packages of the lab, ansible-core and rsync.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Archive, archiveOnce } from '../devops/release/archive.ts';
import { type Lab, manifestOf, openLab } from '../test/lab/lab.ts';
import { INSTALL, LENT, REMOTE_ROOT, TEST_MODULES } from '../test/support/lab-hosts.ts';
import { describeMachine } from './bench/machine.ts';
import { compare, median, type Round } from './bench/ratios.ts';
import { ENVIRONMENTS, ROOT } from './deploy-places.ts';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    /** Ours alone, for many hosts. */
    alone: { type: 'boolean', default: false },
    /** One host after the other, as the others do it. */
    batches: { type: 'string', default: '1, 1, 1' },
    floor: { type: 'string', default: '50%' },
  },
});
const hosts = Number(values.hosts);
/** Left out of the repository. */
const ENVIRONMENT = 'bench';
const MANIFEST = join(ENVIRONMENTS, `${ENVIRONMENT}.yaml`);
const PM2 = `env FLEETLINK_ROOT=${REMOTE_ROOT} PM2_HOME=${REMOTE_ROOT}/pm2 HOME=${REMOTE_ROOT} PATH=${REMOTE_ROOT}/base/current/bin:/usr/bin:/bin ${REMOTE_ROOT}/base/current/pm2/node_modules/pm2/bin/pm2`;
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Build {
  readonly id: string;
  readonly folder: string;
  readonly app: Archive;
}

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
const ends: (() => void | Promise<void>)[] = [() => rmSync(folder, { recursive: true, force: true })];
try {
  const lab = await openLab({ hosts, hasDatabase: true, lent: LENT, defer: (work) => ends.push(work) });
  writeManifest(lab);
  const ssh = sshOf(lab);
  await Promise.all(lab.hosts.map(({ address }) => run('ssh', [...ssh, `fleetlink@${address}`, INSTALL])));
  let number = 0;
  const next = (): Promise<Build> => build(`r${++number}`);
  say('first deploy …');
  await deployOurs(await next());
  const contenders: Readonly<Record<string, (one: Build) => Promise<void>>> = {
    fleetlink: deployOurs,
    ...(values.alone
      ? {}
      : {
          ansible: (one: Build) => deployWithAnsible(lab, one),
          shell: (one: Build) => deployWithShell(lab, one),
        }),
  };
  const rounds: Round[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const seconds: Record<string, number> = {};
    const order = Object.entries(contenders);
    // Each has its turn to be the first.
    for (const [name, deploy] of [
      ...order.slice(round % order.length),
      ...order.slice(0, round % order.length),
    ]) {
      const one = await next();
      const startedAt = performance.now();
      await deploy(one);
      seconds[name] = (performance.now() - startedAt) / 1000;
      await requireServing(lab, one.id);
    }
    say(
      `round ${round}: ${Object.entries(seconds)
        .map(([name, took]) => `${name} ${took.toFixed(1)} s`)
        .join(', ')}`,
    );
    rounds.push(seconds);
  }
  console.log(describeMachine());
  const names = Object.keys(contenders);
  console.table(
    names.map((name) => ({
      contender: name,
      hosts,
      'seconds, median': median(rounds.map((one) => one[name] as number)).toFixed(2),
    })),
  );
  // Deploys a second, so that more is better.
  const rates = rounds.map((one) =>
    Object.fromEntries(Object.entries(one).map(([name, took]) => [name, 1 / took])),
  );
  if (!values.alone)
    console.table(compare(rates, names, ['ansible', 'shell']).map(({ 'per second': _, ...row }) => row));
} finally {
  for (const end of ends.toReversed()) await end();
}

function writeManifest(lab: Lab): void {
  const service = `\n  TRUST_PROXY: ${lab.network.gateway}\nsecrets:\n  DATABASE_URL: { command: [echo, '${lab.databaseUrl}'] }\ndeploy:\n  bake: { seconds: 0 }\n  stable_seconds: 0\n  balancer_seconds: 1.2\n  batches: [${values.batches}]\n  floor: ${values.floor}\n`;
  writeFileSync(MANIFEST, manifestOf(lab).replace('\ndeploy:\n', service));
  ends.push(() => rmSync(MANIFEST, { force: true }));
}

/** The service as it was built, with another first line. */
async function build(id: string): Promise<Build> {
  const path = join(folder, 'apps', id);
  for (const name of ['dist', 'package.json', 'ecosystem.config.cjs']) {
    cpSync(join(ROOT, name), join(path, name), { recursive: true });
  }
  const main = join(path, 'dist/main.js');
  writeFileSync(main, `// ${id}\n${readFileSync(main, 'utf8')}`);
  const cache = join(folder, 'cache/fleetlink');
  const app = await archiveOnce(cache, `app-${id}`, async () => ({ folder: path, remove: () => undefined }));
  const nothing = { id: TEST_MODULES, file: app.file, bytes: 0, sha256: '' };
  mkdirSync(join(cache, 'releases'), { recursive: true });
  const release = { id, commit: id, isDirty: false, platform: process.platform, arch: process.arch };
  writeFileSync(
    join(cache, 'releases', `${id}.json`),
    JSON.stringify({ ...release, app, modules: nothing, base: nothing, needs: { glibc: null } }),
  );
  return { id, folder: path, app };
}

async function deployOurs({ id }: Build): Promise<void> {
  const env = {
    ...process.env,
    XDG_CACHE_HOME: join(folder, 'cache'),
    XDG_STATE_HOME: join(folder, 'state'),
  };
  const program = ['--import', './scripts/strip-types.mjs', 'scripts/deploy.ts'];
  await run(process.execPath, [...program, '--env', ENVIRONMENT, '--release', id], { env });
}

/** Files to all hosts side by side, then one host after the other. */
async function deployWithAnsible(lab: Lab, { id, folder: app }: Build): Promise<void> {
  const home = join(folder, 'ansible');
  mkdirSync(home, { recursive: true });
  const release = `${REMOTE_ROOT}/releases/${id}`;
  writeFileSync(join(home, 'hosts'), lab.hosts.map(({ address }) => `${address}\n`).join(''));
  writeFileSync(
    join(home, 'play.yaml'),
    `- hosts: all
  gather_facts: false
  tasks:
    - name: files
      delegate_to: localhost
      vars: { ansible_connection: local }
      command: rsync -a --link-dest=${REMOTE_ROOT}/current/ -e "ssh ${sshOf(lab).join(' ')}" ${app}/ fleetlink@{{ inventory_hostname }}:${release}/
    - name: modules
      file: { src: ${REMOTE_ROOT}/layers/${TEST_MODULES}/node_modules, dest: ${release}/node_modules, state: link }
- hosts: all
  serial: 1
  gather_facts: false
  tasks:
    - name: variables
      copy:
        dest: ${REMOTE_ROOT}/shared/env/deploy.env
        content: "DEPLOY_NONCE='ansible'\\nMIGRATE='check'\\nRELEASE_ID='${id}'\\n"
    - name: current
      file: { src: releases/${id}, dest: ${REMOTE_ROOT}/current, state: link, force: true }
    - name: reload
      command: ${PM2} reload ${REMOTE_ROOT}/current/ecosystem.config.cjs --update-env
    - name: ready
      uri: { url: "http://127.0.0.1:9100/readyz" }
      register: answer
      until: answer.status == 200 and answer.json.release == '${id}'
      retries: 40
      delay: 0.2
`,
  );
  const env = {
    ...process.env,
    ANSIBLE_HOME: home,
    ANSIBLE_PIPELINING: 'True',
    ANSIBLE_FORKS: String(hosts),
    ANSIBLE_SSH_ARGS: `${sshOf(lab).join(' ')} -o ControlMaster=auto -o ControlPersist=60`,
    ANSIBLE_SSH_CONTROL_PATH_DIR: join(folder, 'cp'),
    ANSIBLE_PYTHON_INTERPRETER: '/usr/bin/python3',
    ANSIBLE_REMOTE_USER: 'fleetlink',
  };
  await run('ansible-playbook', ['-i', join(home, 'hosts'), join(home, 'play.yaml')], { env });
}

/** The least that changes code behind a balancer: no rehearsal, no drain, no lease, no proof but an answer of the new release. */
async function deployWithShell(lab: Lab, { id, app }: Build): Promise<void> {
  const release = `${REMOTE_ROOT}/releases/${id}`;
  const ssh = `ssh ${sshOf(lab).join(' ')} -o ControlMaster=auto -o ControlPersist=60 -o ControlPath=${folder}/%h`;
  const addresses = lab.hosts.map(({ address }) => `fleetlink@${address}`).join(' ');
  const switchOver = `printf "DEPLOY_NONCE='shell'\\nMIGRATE='check'\\nRELEASE_ID='${id}'\\n" >${REMOTE_ROOT}/shared/env/deploy.env
ln -sfn releases/${id} ${REMOTE_ROOT}/current
${PM2} reload ${REMOTE_ROOT}/current/ecosystem.config.cjs --update-env >/dev/null
for time in $(seq 200); do curl -s http://127.0.0.1:9100/readyz | grep -q '"release":"${id}"' && exit; sleep 0.05; done; exit 1`;
  const script = `set -e
for host in ${addresses}; do
  ${ssh} $host 'mkdir -p ${release} && tar -xzf - -C ${release} && ln -s ${REMOTE_ROOT}/layers/${TEST_MODULES}/node_modules ${release}/node_modules' <${app.file} & ids="$ids $!"
done
for id in $ids; do wait $id; done
for host in ${addresses}; do
${ssh} $host sh -s <<'SCRIPT'
${switchOver}
SCRIPT
done`;
  await run('sh', ['-c', script]);
}

function sshOf({ identity, knownHosts }: Lab): string[] {
  return [
    '-i',
    identity,
    '-o',
    `UserKnownHostsFile=${knownHosts}`,
    '-o',
    'BatchMode=yes',
    '-o',
    'LogLevel=ERROR',
  ];
}

/** Whatever ends with 0 has to have done it. */
async function requireServing(lab: Lab, id: string): Promise<void> {
  for (const { address, name } of lab.hosts) {
    // Not kept open: a host to which nobody is connected is drained at once.
    const answer = await fetch(`http://${address}:3000/readyz`, { headers: { connection: 'close' } });
    const { release } = (await answer.json()) as { release: string };
    if (release !== id) throw new Error(`${name} runs ${release}, and ${id} was deployed.`);
  }
}

async function run(
  command: string,
  args: readonly string[],
  { env = process.env }: { env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${said}`);
}
