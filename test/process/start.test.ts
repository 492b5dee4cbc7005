// The first minute with the service: what a person sees on a terminal, and what a machine finds elsewhere.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { requireCommand } from '../support/requirement.ts';
import {
  MAIN,
  NODE_ARGS,
  type ServerOptions,
  serverEnvironment,
  spawnServer,
  startServer,
  untilListening,
} from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { spawnInTerminal, type TerminalProcess } from '../support/terminal.ts';
import { until } from '../support/until.ts';

const KEY_LINE = /Admin API key, shown this once: (fl_[\w-]{43})\n/;

t.test('on a terminal it greets, once with a key, with a line that works, and Ctrl-C stops it', async (t) => {
  if (!requireCommand(t, 'script') || !requireCommand(t, 'curl')) return;
  const dataDir = makeFolder(t);
  const port = await findFreePort();
  const env = serverEnvironment({
    dataDir,
    env: { PORT: String(port), BASE_URL: null, ADMIN_API_KEY: null, HOST: null },
  });

  const first = spawnInTerminal(t, { argv: [process.execPath, ...NODE_ARGS, MAIN], env });
  await untilGreeted(first);
  const screen = first.screen();
  const key = KEY_LINE.exec(screen)?.[1] ?? '';
  const curl = `curl -sS http://127.0.0.1:${port}/shorten -H 'Content-Type: application/json' -d '{"url":"https://example.com/a/long/path"}'`;
  t.match(screen, /INFO.*: listening \{"port":\d+,"management_port":\d+\}\n/, 'its log is for people');
  t.equal(
    screen.slice(screen.indexOf('\n\n') + 1),
    [
      '',
      `  Fleetlink serves http://127.0.0.1:${port}`,
      `  Data in ${dataDir} · health and metrics on ${/metrics on (\S+)\n/.exec(screen)?.[1]}`,
      '',
      `  Admin API key, shown this once: ${key}`,
      '',
      '  Make a link:',
      `    ${curl}`,
      '',
      '  Ctrl-C stops.',
      '',
      '',
    ].join('\n'),
  );
  t.notOk(existsSync(join(dataDir, 'admin-api-key')), 'the key is nowhere but on the screen');

  const pasted = await runInShell(`${curl} -w '\\n%{http_code}'`);
  const [body, status] = pasted.split('\n');
  t.equal(status, '201');
  const { short_url: shortUrl } = JSON.parse(body ?? '') as { short_url: string };
  const followed = await ask('GET', shortUrl, { key: null });
  t.equal(followed.headers.get('location'), 'https://example.com/a/long/path');
  const listed = await ask('GET', `http://127.0.0.1:${port}/api/v1/links`, { key });
  t.equal(listed.status, 200, 'the key on the screen works');

  first.pressCtrlC();
  t.same(await first.exit, { code: 0, signal: null });
  t.match(first.screen(), /: stopping\n(?:.*\n)*.*: stopped .*\n$/);

  const second = spawnInTerminal(t, { argv: [process.execPath, ...NODE_ARGS, MAIN], env });
  await untilGreeted(second);
  t.notMatch(second.screen(), KEY_LINE, 'a second start has no key to show');
  t.equal((await ask('GET', shortUrl, { key: null })).status, 302, 'what the first made is there');
  second.pressCtrlC();
  t.same(await second.exit, { code: 0, signal: null });
});

t.test('on a terminal, without anonymous links, the line carries the key', async (t) => {
  if (!requireCommand(t, 'script') || !requireCommand(t, 'curl')) return;
  const port = await findFreePort();
  const env = serverEnvironment({
    dataDir: makeFolder(t),
    env: { PORT: String(port), BASE_URL: null, ADMIN_API_KEY: null, ANONYMOUS_SHORTEN: 'false' },
  });
  const first = spawnInTerminal(t, { argv: [process.execPath, ...NODE_ARGS, MAIN], env });
  await untilGreeted(first);
  const key = KEY_LINE.exec(first.screen())?.[1] ?? '';
  const curl = readCurl(first);
  t.match(curl, `-H "Authorization: Bearer ${key}"`);
  t.equal(await runInShell(`${curl} -o /dev/null -w '%{http_code}'`), '201');
  first.pressCtrlC();
  await first.exit;

  const second = spawnInTerminal(t, { argv: [process.execPath, ...NODE_ARGS, MAIN], env });
  await untilGreeted(second);
  t.match(readCurl(second), '-H "Authorization: Bearer $API_KEY"', 'later it names the place of the key');
  t.equal(await runInShell(`API_KEY=${key}; ${readCurl(second)} -o /dev/null -w '%{http_code}'`), '201');
  second.pressCtrlC();
  await second.exit;
});

t.test('a start that fails on a terminal says why in a sentence', async (t) => {
  if (!requireCommand(t, 'script')) return;
  const env = serverEnvironment({ dataDir: makeFolder(t), env: { LOG_LEVEL: 'loud' } });
  const server = spawnInTerminal(t, { argv: [process.execPath, ...NODE_ARGS, MAIN], env });
  t.same(await server.exit, { code: 1, signal: null });
  t.match(server.screen(), /FATAL.*: The configuration is not valid\.\n\s+LOG_LEVEL: expected one of /);
  t.notMatch(server.screen(), /^ +at /m);
});

t.test('elsewhere it writes JSON lines and nothing else, and the key into a file', async (t) => {
  const dataDir = join(makeFolder(t), 'made', 'by', 'the', 'start');
  const server = await startServer(t, { dataDir, env: { ADMIN_API_KEY: null, RELEASE_ID: 'r7' } });
  const path = join(dataDir, 'admin-api-key');
  await until('the key is announced', () => server.log().find((line) => line.path === path));
  t.equal(statSync(path).mode & 0o777, 0o600);
  const secret = readFileSync(path, 'utf8').trimEnd();
  t.match(secret, /^fl_[\w-]{43}$/);
  t.equal(await listKeys(server.url, secret), 200);

  t.same(await server.stop(), { code: 0, signal: null });
  t.equal(server.stderr(), '');
  const log = server.log();
  const { pid } = server.child;
  t.ok(log.every((line) => line.pid === pid && line.release === 'r7' && typeof line.time === 'number'));
  t.same(
    log.map(({ level, msg }) => `${level} ${msg}`),
    [
      'info listening',
      'warn an admin API key was made: read it there and delete the file',
      'info request',
      'info stopping',
      'info stopped',
    ],
  );
  t.notMatch(JSON.stringify(log), secret, 'the key itself is not logged');

  const second = await startServer(t, { dataDir, env: { ADMIN_API_KEY: null } });
  t.equal(await listKeys(second.url, secret), 200);
  await second.stop();
  t.notOk(
    second.log().some((line) => line.path === path),
    'a second start makes none',
  );
});

t.test(
  'of two first starts at once one makes the admin key, and its file holds the one that works',
  async (t) => {
    const dataDir = makeFolder(t);
    const path = join(dataDir, 'admin-api-key');
    const options: ServerOptions = {
      dataDir,
      env: { ADMIN_API_KEY: null },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    };
    const starting = [spawnServer(t, options), spawnServer(t, options)];
    const servers = await Promise.all(
      starting.map(async (server) => {
        // The one message to whoever started it: it is ready.
        await once(server.child, 'message');
        return { ...server, ...(await untilListening(server)) };
      }),
    );
    const secret = readFileSync(path, 'utf8').trimEnd();
    for (const { url } of servers) {
      const { body } = await ask('GET', `${url}/api/v1/api-keys`, { key: secret });
      t.match(body, { items: [{ origin: 'first-run', scopes: ['admin'] }] });
      t.equal((body as { items: unknown[] }).items.length, 1);
    }
    for (const server of servers) t.same(await server.stop(), { code: 0, signal: null });
    const announced = servers.flatMap(({ log }) => log().filter((line) => line.path === path));
    t.equal(announced.length, 1, 'one of them says so');
  },
);

t.test('ADMIN_API_KEY works, is replaced when it changes and removed when it is gone', async (t) => {
  const dataDir = makeFolder(t);
  const first = 'the-first-key-of-the-environment';
  const other = 'the-other-key-of-the-environment';

  let server = await startServer(t, { dataDir, env: { ADMIN_API_KEY: first } });
  t.equal(await listKeys(server.url, first), 200);
  await server.stop();
  t.notOk(existsSync(join(dataDir, 'admin-api-key')), 'none is made');

  server = await startServer(t, { dataDir, env: { ADMIN_API_KEY: other } });
  t.equal(await listKeys(server.url, first), 401);
  t.equal(await listKeys(server.url, other), 200);
  await server.stop();

  server = await startServer(t, { dataDir, env: { ADMIN_API_KEY: null } });
  await until('a key is made in its place', () => existsSync(join(dataDir, 'admin-api-key')));
  t.equal(await listKeys(server.url, other), 401);
  await server.stop();
});

t.test('under PM2 it says when it is ready and sends its figures', async (t) => {
  const messages: Record<string, unknown>[] = [];
  const server = await startServer(t, {
    dataDir: makeFolder(t),
    env: { pm_id: '0' },
    preload: ['test/support/wrapped-stdout.ts'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  server.child.on('message', (message) => messages.push(message as Record<string, unknown>));
  const made = await ask('POST', `${server.url}/shorten`, { body: { url: 'https://example.com/' } });
  const { key } = made.body as { key: string };
  for (let i = 0; i < 3; i++) await ask('GET', `${server.url}/${key}`, { key: null });

  const figures = await until('the figures show three redirects', () =>
    messages
      .filter(({ type }) => type === 'axm:monitor')
      .map(({ data }) => data as Record<string, { value: unknown; unit: string }>)
      .find((data) => data.redirects?.value === 3),
  );
  t.equal(messages[0], 'ready');
  t.match(figures, {
    redirects: { value: 3, unit: '/min', historic: false },
    'redirect p95': { value: /^\d+\.\d\d$/, unit: 'ms' },
    state: { value: 'ready' },
  });
  t.same(Object.keys(figures), ['redirects', 'redirect p95', 'state'], 'and nothing of its own accord');
  t.same(await server.stop(), { code: 0, signal: null });
  t.equal(server.log().at(-1)?.msg, 'stopped', 'a wrapped standard output is written to the end, too');
});

async function untilGreeted(terminal: TerminalProcess): Promise<void> {
  await until('it greets', () => terminal.screen().includes('Ctrl-C stops.'));
}

function readCurl(terminal: TerminalProcess): string {
  return /^ +(curl .*)$/m.exec(terminal.screen())?.[1] ?? '';
}

async function listKeys(url: string, key: string): Promise<number> {
  return (await ask('GET', `${url}/api/v1/api-keys`, { key })).status;
}

function runInShell(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', line], (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

t.test('with --migrate it makes the schema and ends, although others may not', async (t) => {
  const dataDir = makeFolder(t);
  const refused = spawnServer(t, { dataDir, env: { MIGRATE: 'check' } });
  t.same(await refused.exit, { code: 1, signal: null });
  const migrating = spawnServer(t, { dataDir, args: ['--migrate'] });
  t.same(await migrating.exit, { code: 0, signal: null });
  t.notOk(migrating.log().some(({ msg }) => msg === 'listening'));
  const server = await startServer(t, { dataDir, env: { MIGRATE: 'check' } });
  t.same(await server.stop(), { code: 0, signal: null });
});
