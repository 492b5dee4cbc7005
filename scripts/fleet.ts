// `npm run fleet -- --hosts 3`: a fleet on one machine, for whoever wants to see it. A PostgreSQL of its own, a process for each
// host with a folder of its own, and HAProxy in front, which asks each for /readyz. Ctrl-C ends all of it at any time and leaves nothing.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBalancer } from './balancer.ts';
import { preparePostgres } from './postgres-server.ts';
import { findFreePort, stopProcess } from './processes.ts';
import { findCommand } from './requirements.ts';

const USAGE = 'npm run fleet -- [--hosts 3] [--port 3000]';
const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '3' },
    port: { type: 'string', default: '3000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HOSTS_MAX = 20;
const ANSWERS_WITHIN_MS = 20_000;

interface Host {
  readonly name: string;
  readonly port: number;
  readonly managementPort: number;
  readonly pid: number | undefined;
}

const count = Number(values.hosts);
if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) {
  fail(`--hosts ${values.hosts}: expected a whole number from 1 to ${HOSTS_MAX}.`);
}
if (findCommand('haproxy', process.env.PATH ?? '') === null) {
  fail('HAProxy is missing: install the Debian package haproxy.');
}

const adminKey = `admin-${randomBytes(16).toString('hex')}`;
const origin = `http://127.0.0.1:${values.port}`;
const stopping = listenForSignals();
const folder = mkdtempSync(join(tmpdir(), 'fleetlink-fleet-'));
/** What ends what was started, the last first. */
const endings: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
try {
  await run();
} catch (error) {
  // What is under way when Ctrl-C comes fails, as it should.
  if (!stopping.aborted) throw error;
} finally {
  say('\nending …');
  for (const end of endings.toReversed()) await end();
}

/** From now on they end the process only when everything that it started has ended, however often they come. */
function listenForSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => controller.abort());
  return controller.signal;
}

async function run(): Promise<void> {
  say('PostgreSQL …');
  const postgres = await preparePostgres({ isApart: true });
  endings.push(postgres.remove, postgres.kill);
  stopping.throwIfAborted();
  await postgres.start();
  const hosts: Host[] = [];
  for (let number = 1; number <= count; number++) hosts.push(await startHost(number, postgres.url));
  for (const { name, port } of hosts) {
    await waitForAnswer(`http://127.0.0.1:${port}/readyz`);
    say(`${name} ready`);
  }
  stopping.throwIfAborted();
  const balanced = hosts.map(({ name, port }) => ({ name, address: `127.0.0.1:${port}` }));
  const listens = [`127.0.0.1:${values.port}`];
  const balancer = startBalancer(join(folder, 'haproxy.cfg'), { listens, hosts: balanced });
  endings.push(() => stopProcess(balancer));
  await waitForAnswer(`${origin}/readyz`);
  show(hosts, postgres.url);
  if (!stopping.aborted) await once(stopping, 'abort');
}

async function startHost(number: number, databaseUrl: string): Promise<Host> {
  const name = `host-${number}`;
  const [port, managementPort] = [await findFreePort(), await findFreePort()];
  stopping.throwIfAborted();
  const env = {
    ...process.env,
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
    DATA_DIR: join(folder, name),
    DATABASE_URL: databaseUrl,
    BASE_URL: origin,
    ADMIN_API_KEY: adminKey,
    TRUST_PROXY: '127.0.0.1',
    LOG_LEVEL: 'warn',
  };
  const args = ['--enable-source-maps', 'dist/main.js'];
  const stdio = ['ignore', 'inherit', 'inherit'] as const;
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: [...stdio], detached: true });
  endings.push(() => stopProcess(child));
  return { name, port, managementPort, pid: child.pid };
}

async function waitForAnswer(url: string): Promise<void> {
  for (const deadline = Date.now() + ANSWERS_WITHIN_MS; Date.now() < deadline; ) {
    stopping.throwIfAborted();
    const answer = await fetch(url, { signal: stopping }).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} did not answer within ${ANSWERS_WITHIN_MS / 1000} s.`);
}

function show(hosts: readonly Host[], databaseUrl: string): void {
  say('');
  console.table(
    hosts.map(({ name, port, managementPort, pid }) => ({
      host: name,
      address: `http://127.0.0.1:${port}`,
      metrics: `http://127.0.0.1:${managementPort}/metrics`,
      pid,
    })),
  );
  say(`
all of them  ${origin}
PostgreSQL   ${databaseUrl}

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
