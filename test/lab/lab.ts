/**
 * Real hosts without a cloud: each a namespace with a network, a disk, users and processes of its own, and a real sshd; one PostgreSQL
 * that they share, and HAProxy in front of them. Needs root, `ip`, `sshd`, `tini`, `haproxy` and `initdb`.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBalancer } from '../../scripts/balancer.ts';
import { preparePostgres } from '../../scripts/postgres-server.ts';
import { findFreePort, stopProcess } from '../../scripts/processes.ts';
import { isListening } from '../support/is-listening.ts';
import { type Network, type NetworkHost, openNetwork } from '../support/network.ts';
import { until } from '../support/until.ts';

export interface LabOptions {
  readonly hosts: number;
  /** Whether they share a PostgreSQL; without, each has SQLite alone. */
  readonly hasDatabase: boolean;
  /** Of each host. */
  readonly diskMb?: number;
  /** What hosts are lent of this machine, read-only, below /opt/lent: path by name. */
  readonly lent?: Readonly<Record<string, string>>;
  /** Of the balancer on the loopback interface; left out: a free one. */
  readonly port?: number;
  /** Is given what ends each part, the last one first to be done. */
  readonly defer: (work: () => void | Promise<void>) => void;
}

export interface Lab {
  /** Everything that has to be known to reach it lies here. */
  readonly folder: string;
  readonly hosts: readonly LabHost[];
  readonly identity: string;
  readonly publicKey: string;
  readonly knownHosts: string;
  readonly databaseUrl: string | null;
  /** Of the balancer. */
  readonly url: string;
  readonly network: Network;
}

export interface LabHost {
  readonly name: string;
  readonly address: string;
  readonly network: NetworkHost;
  /** A line of shell as root on the host; resolves with what it said. */
  run(script: string): string;
  /** As a power cut: all of its processes are gone, and its disk too. */
  kill(): Promise<void>;
}

/** Where the service listens on each host. */
export const SERVICE_PORT = 3000;
const BOOT = fileURLToPath(new URL('host.sh', import.meta.url));
const DISK_MB = 2000;
/** What runs, what takes its place, and a rehearsal. */
const CONNECTIONS_PER_HOST = 40;

export async function openLab(options: LabOptions): Promise<Lab> {
  const { defer } = options;
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-lab-'));
  defer(() => rmSync(folder, { recursive: true, force: true }));
  const network = openNetwork(defer);
  const identity = join(folder, 'user');
  makeKey(identity);
  const databaseUrl = options.hasDatabase ? await startDatabase(network, options) : null;
  const hosts = await Promise.all(
    Array.from({ length: options.hosts }, (_, index) =>
      startHost(`h${index + 1}`, { folder, network, identity, options }),
    ),
  );
  const knownHosts = join(folder, 'known_hosts');
  writeFileSync(
    knownHosts,
    hosts.map(({ name, address }) => `${address} ${readKey(join(folder, name, 'host_key'))}`).join(''),
  );
  const port = options.port ?? (await findFreePort());
  if (await isListening('127.0.0.1', port)) throw new Error(`Another program listens on 127.0.0.1:${port}.`);
  const balancer = startBalancer(join(folder, 'haproxy.cfg'), {
    listens: [`127.0.0.1:${port}`, `${network.gateway}:${port}`],
    hosts: hosts.map(({ name, address }) => ({ name, address: `${address}:${SERVICE_PORT}` })),
  });
  defer(() => stopProcess(balancer));
  await until('the balancer listens', () => isListening('127.0.0.1', port));
  const url = `http://127.0.0.1:${port}`;
  const publicKey = readKey(identity).trim();
  return { folder, hosts, identity, publicKey, knownHosts, databaseUrl, url, network };
}

/** The file of an environment (devops/environments) that has these hosts. */
export function manifestOf({ hosts, identity, knownHosts, url }: Lab): string {
  return `provider: hosts
hosts:
${hosts.map(({ name, address }) => `  - { name: ${name}, address: ${address} }`).join('\n')}
ssh:
  identity: ${identity}
  known_hosts: ${knownHosts}
service:
  PORT: ${SERVICE_PORT}
  BASE_URL: ${url}
deploy:
  # The load of a namespace is that of the whole machine.
  load_max: 1000
`;
}

async function startDatabase(
  network: Network,
  { hosts, defer }: Pick<LabOptions, 'hosts' | 'defer'>,
): Promise<string> {
  const postgres = await preparePostgres({
    address: network.gateway,
    allowed: network.cidr,
    settings: [`max_connections=${100 + hosts * CONNECTIONS_PER_HOST}`],
  });
  defer(async () => {
    await postgres.kill();
    postgres.remove();
  });
  await postgres.start();
  return postgres.url;
}

async function startHost(
  name: string,
  given: {
    readonly folder: string;
    readonly network: Network;
    readonly identity: string;
    readonly options: LabOptions;
  },
): Promise<LabHost> {
  const { options } = given;
  const folder = join(given.folder, name);
  mkdirSync(folder);
  makeKey(join(folder, 'host_key'));
  copyFileSync(`${given.identity}.pub`, join(folder, 'authorized_keys'));
  const lent = Object.entries(options.lent ?? {}).map(([as, path]) => `${path} ${as}\n`);
  writeFileSync(join(folder, 'lent'), lent.join(''));
  const network = given.network.addHost();
  const child = boot(name, { folder, network, diskMb: options.diskMb ?? DISK_MB });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-10_000);
  });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  options.defer(kill);
  await until(`${name} answers`, () => {
    if (child.exitCode !== null) throw new Error(said);
    return isListening(network.address, 22);
  });
  const run = (script: string): string => {
    // The first process of the host is the only child of what made its namespaces.
    const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    const enter = ['--target', first, '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'];
    const clean = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
    return execFileSync('nsenter', [...enter, '--', ...clean, 'sh', '-c', script], { encoding: 'utf8' });
  };
  return { name, address: network.address, network, run, kill };
}

/** `unshare` takes the first process of the host along, and that takes all others. */
function boot(
  name: string,
  { folder, network, diskMb }: { folder: string; network: NetworkHost; diskMb: number },
): ChildProcess {
  const [command, ...args] = [
    ...network.enter,
    // Should who starts it be killed, the host is ended with it.
    ...['setpriv', '--pdeathsig', 'KILL', '--'],
    ...['unshare', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--'],
    ...['sh', BOOT, name, folder, `${diskMb}m`],
  ] as [string, ...string[]];
  return spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
}

function makeKey(path: string): void {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', path]);
}

function readKey(path: string): string {
  return readFileSync(`${path}.pub`, 'utf8');
}
