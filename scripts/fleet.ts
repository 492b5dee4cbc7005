// `npm run fleet -- --hosts 3`: a fleet on one machine, for whoever wants to see it. A PostgreSQL of its own, a process for each
// host with a folder of its own, and HAProxy in front, which asks each for /readyz. Ctrl-C ends all of it and leaves nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { preparePostgres } from './postgres-server.ts';
import { findFreePort, stopProcess } from './processes.ts';
import { findCommand } from './requirements.ts';

const { values } = parseArgs({
  options: { hosts: { type: 'string', default: '3' }, port: { type: 'string', default: '3000' } },
});
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HOSTS_MAX = 20;
const ANSWERS_WITHIN_MS = 20_000;

interface Host {
  readonly name: string;
  readonly port: number;
  readonly managementPort: number;
  readonly folder: string;
  process: ChildProcess | null;
}

const count = Number(values.hosts);
if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) {
  fail(`--hosts ${values.hosts}: expected a whole number from 1 to ${HOSTS_MAX}.`);
}
const haproxy = findCommand('haproxy', process.env.PATH ?? '');
if (haproxy === null) fail('HAProxy is missing: install the Debian package haproxy.');

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-fleet-'));
const adminKey = `admin-${randomBytes(16).toString('hex')}`;
const origin = `http://127.0.0.1:${values.port}`;
const children: ChildProcess[] = [];
const postgres = await preparePostgres();
try {
  say('PostgreSQL …');
  await postgres.start();
  const hosts: Host[] = [];
  for (let number = 1; number <= count; number++) {
    const [port, managementPort] = [await findFreePort(), await findFreePort()];
    hosts.push({
      name: `host-${number}`,
      port,
      managementPort,
      folder: join(folder, `host-${number}`),
      process: null,
    });
  }
  for (const host of hosts) host.process = startHost(host);
  for (const host of hosts) await waitUntilReady(host);
  startBalancer(hosts);
  await waitForAnswer(`${origin}/readyz`);
  show(hosts);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
} finally {
  say('\nending …');
  for (const child of children) await stopProcess(child);
  await postgres.kill();
  postgres.remove();
  rmSync(folder, { recursive: true, force: true });
}

function startHost({ port, managementPort, folder: dataDir }: Host): ChildProcess {
  const env = {
    ...process.env,
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
    DATA_DIR: dataDir,
    DATABASE_URL: postgres.url,
    BASE_URL: origin,
    ADMIN_API_KEY: adminKey,
    TRUST_PROXY: '127.0.0.1',
    LOG_LEVEL: 'warn',
  };
  return start(process.execPath, ['--enable-source-maps', 'dist/main.js'], env);
}

function startBalancer(hosts: readonly Host[]): void {
  const config = join(folder, 'haproxy.cfg');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    config,
    `defaults
  mode http
  timeout connect 1s
  timeout client 70s
  timeout server 70s
  option forwardfor
  option redispatch
  retries 3
frontend links
  bind 127.0.0.1:${values.port}
  default_backend hosts
backend hosts
  option httpchk GET /readyz
  default-server check inter 1s fall 2 rise 1
${hosts.map(({ name, port }) => `  server ${name} 127.0.0.1:${port}`).join('\n')}
`,
  );
  start(haproxy as string, ['-f', config, '-db'], process.env);
}

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(command, [...args], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  children.unshift(child);
  return child;
}

async function waitUntilReady({ name, port }: Host): Promise<void> {
  await waitForAnswer(`http://127.0.0.1:${port}/readyz`);
  say(`${name} ready`);
}

async function waitForAnswer(url: string): Promise<void> {
  for (const deadline = Date.now() + ANSWERS_WITHIN_MS; Date.now() < deadline; ) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} did not answer within ${ANSWERS_WITHIN_MS / 1000} s.`);
}

function show(hosts: readonly Host[]): void {
  say('');
  console.table(
    hosts.map(({ name, port, managementPort, process: child }) => ({
      host: name,
      address: `http://127.0.0.1:${port}`,
      metrics: `http://127.0.0.1:${managementPort}/metrics`,
      pid: child?.pid,
    })),
  );
  say(`
all of them  ${origin}
PostgreSQL   ${postgres.url}

  curl -sS ${origin}/api/v1/links -H 'Authorization: Bearer ${adminKey}' \\
    -H 'Content-Type: application/json' -d '{"url":"https://example.com/","key":"autumn"}'
  curl -sSI ${origin}/autumn

Stop a host (kill -INT and its pid), and follow the link again. Ctrl-C ends all.`);
}

function say(text: string): void {
  console.log(text);
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(64);
}
