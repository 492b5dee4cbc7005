// `npm run lab -- up --hosts 3`: hosts to try deploys on, on this machine and without a cloud (test/lab/). They stay until `down`. Needs
// root, and the Debian packages iproute2, openssh-server, tini, haproxy and postgresql.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freeLock, readLock, takeLock } from '../devops/host/process-lock.ts';
import { manifestOf, openLab } from '../test/lab/lab.ts';
import { isListening } from '../test/support/is-listening.ts';
import { readArguments } from './arguments.ts';
import { CACHE, ENVIRONMENTS, journalsOf } from './deploy-places.ts';
import { findCommand } from './requirements.ts';

const PROGRAM = fileURLToPath(import.meta.url);
const FOLDER = join(CACHE, 'lab');
/** Of the process that holds the lab. */
const LOCK = join(FOLDER, 'lock');
/** What runs, and how it is reached. */
const STATE = join(FOLDER, 'lab.json');
const LOG = join(FOLDER, 'lab.log');
/** Left out of the repository. */
const MANIFEST = join(ENVIRONMENTS, 'lab.yaml');
const HOSTS_MAX = 50;
const NEEDED = ['ip', 'sshd', 'tini', 'haproxy', 'initdb'];
const UP_WITHIN_MS = 60_000;
const DOWN_WITHIN_MS = 60_000;
const USAGE_EXIT = 64;

interface LabState {
  readonly pid: number;
  readonly url: string;
  readonly databaseUrl: string;
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
  readonly identity: string;
  readonly knownHosts: string;
}

const given = readArguments(
  'npm run lab -- up [--hosts 3] [--port 8080] | down | status',
  { hosts: { type: 'string', default: '3' }, port: { type: 'string', default: '8080' } },
  { allowPositionals: true },
);
const { values, positionals } = given;
const COMMANDS: Readonly<Record<string, () => Promise<void>>> = { up, down, status, serve };
const command = COMMANDS[positionals[0] ?? ''];
if (command === undefined)
  given.fail(
    positionals.length === 0 ? 'up, down or status?' : `${positionals[0]} is no command of the lab.`,
  );
else await command();

/** Starts what serves the lab, and waits until that says how it is reached. */
async function up(): Promise<void> {
  if (process.getuid?.() !== 0) fail('The lab needs root: it makes namespaces.');
  const missing = NEEDED.filter((name) => findCommand(name, process.env.PATH ?? '') === null);
  if (missing.length > 0) fail(`The lab needs these commands: ${missing.join(', ')}.`);
  readNumber('hosts', HOSTS_MAX);
  if (readState() !== null) fail('A lab is up already. See `npm run lab -- status`, or end it with `down`.');
  const port = readNumber('port', 65_535);
  if (await isListening('127.0.0.1', port))
    fail(`Another program listens on 127.0.0.1:${port}. Choose another port: --port 8081.`);
  mkdirSync(FOLDER, { recursive: true });
  rmSync(STATE, { force: true });
  // Of hosts that are gone.
  rmSync(journalsOf('lab'), { recursive: true, force: true });
  const log = openSync(LOG, 'w');
  const args = [...process.execArgv, PROGRAM, 'serve', '--hosts', values.hosts, '--port', values.port];
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log] });
  child.unref();
  for (const deadline = Date.now() + UP_WITHIN_MS; !existsSync(STATE); ) {
    if (child.exitCode !== null || Date.now() > deadline)
      fail(`The lab did not come up:\n${readFileSync(LOG, 'utf8')}`);
    await pause();
  }
  await status();
}

/** Holds the lab until it is told to end. */
async function serve(): Promise<void> {
  const ends: (() => void | Promise<void>)[] = [];
  if (!takeLock(LOCK)) fail('Another lab is coming up.');
  ends.push(() => freeLock(LOCK));
  try {
    const lab = await openLab({
      hosts: readNumber('hosts', HOSTS_MAX),
      port: readNumber('port', 65_535),
      hasDatabase: true,
      defer: (work) => ends.push(work),
    });
    const { url, identity, knownHosts } = lab;
    const databaseUrl = lab.databaseUrl as string;
    writeFileSync(
      MANIFEST,
      `# Made by \`npm run lab -- up\`, and gone with it.\n${manifestOf(lab)}`.replace(
        '\ndeploy:',
        `\n  TRUST_PROXY: ${lab.network.gateway}\nsecrets:\n  DATABASE_URL: { command: [echo, '${databaseUrl}'] }\ndeploy:`,
      ),
    );
    ends.push(() => rmSync(MANIFEST, { force: true }));
    const hosts = lab.hosts.map(({ name, address }) => ({ name, address }));
    const state: LabState = { pid: process.pid, url, databaseUrl, hosts, identity, knownHosts };
    writeFileSync(STATE, JSON.stringify(state));
    ends.push(() => rmSync(STATE, { force: true }));
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}

async function down(): Promise<void> {
  const state = readState();
  if (state === null) return console.log('No lab is up.');
  process.kill(state.pid, 'SIGTERM');
  for (const deadline = Date.now() + DOWN_WITHIN_MS; isAlive(state.pid); ) {
    if (Date.now() > deadline) fail(`The lab (process ${state.pid}) did not end. See ${LOG}.`);
    await pause();
  }
  console.log('The lab is gone.');
}

async function status(): Promise<void> {
  const state = readState();
  if (state === null) return console.log('No lab is up. Begin with: npm run lab -- up --hosts 3');
  const { url, databaseUrl, hosts, identity, knownHosts } = state;
  const ssh = `ssh -i ${identity} -o UserKnownHostsFile=${knownHosts} root@${hosts[0]?.address}`;
  console.log(`hosts       ${hosts.map(({ name, address }) => `${name} ${address}`).join(', ')}
balancer    ${url}
PostgreSQL  ${databaseUrl}

  npm run deploy -- --env lab
  curl -sSI ${url}/fleetlink-smoke
  ${ssh}

End it with: npm run lab -- down`);
}

/** Null: none is up. */
function readState(): LabState | null {
  if (!existsSync(STATE)) return null;
  const state = JSON.parse(readFileSync(STATE, 'utf8')) as LabState;
  // After a reboot another process may have its number.
  return readLock(LOCK)?.pid === state.pid ? state : null;
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

function readNumber(name: 'hosts' | 'port', max: number): number {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 1 || number > max) {
    fail(`--${name} ${values[name]}: expected a whole number from 1 to ${max}.`);
  }
  return number;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(USAGE_EXIT);
}
