// How the service ends: a stop finishes what is under way and drops nobody, a drain sends new traffic elsewhere first.

import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { createListener } from '../../app/http/listener.ts';
import { findFreePort } from '../../scripts/processes.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type RunningServer, type ServerProcess, startServer } from '../support/server-process.ts';
import { ADMIN_KEY, ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

t.test('SIGINT finishes what is under way, refuses what is new and ends with 0', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  const slow = startSlowCreate(server);
  await slow.isUnderWay;
  const silent = await openSocket(server.url);

  const signalledAt = Date.now();
  server.kill('SIGINT');
  await untilLogged(server, 'stopping');
  await until('new connections are refused', () => isRefused(server.url));
  await until('the management port is closed, too', () => isRefused(server.managementUrl));
  await once(silent, 'close');
  t.ok(Date.now() - signalledAt < 5000, 'a connection that never asked anything is ended after a second');
  t.notOk(hasEnded(server), 'the process waits for the request');

  const answer = await slow.finish();
  t.equal(answer.statusCode, 201);
  t.equal(answer.headers.connection, 'close');
  t.same(await server.exit, { code: 0, signal: null });
  t.equal(server.log().at(-1)?.msg, 'stopped');
});

t.test('a stop leaves readiness as it is, and idle connections a second', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  const socket = await openSocket(server.url);
  t.match(await askOn(socket, 'GET /readyz'), /^HTTP\/1\.1 200 OK\r\n/);
  const idle = await openSocket(server.url);
  t.match(await askOn(idle, 'GET /healthz'), /\r\nConnection: keep-alive\r\n/);

  server.kill('SIGINT');
  await untilLogged(server, 'stopping');
  const stoppingAt = Date.now();
  const answer = await askOn(socket, 'GET /readyz');
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n/, 'a connection that is open is still answered');
  t.match(answer, /\r\nConnection: close\r\n/);
  t.match(answer, /"status":"ready"/);
  await once(idle, 'close');
  const idleMs = Date.now() - stoppingAt;
  t.ok(idleMs > 500 && idleMs < 5000, `an idle connection is ended after a second (${idleMs} ms)`);
  t.same(await server.exit, { code: 0, signal: null });
});

t.test('SIGTERM drains first: not ready, but serving; then it stops', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t), env: { DRAIN_MS: '2000' } });
  const made = await ask('POST', `${server.url}/shorten`, { body: { url: 'https://example.com/' } });
  const { key } = made.body as { key: string };

  server.kill('SIGTERM');
  await untilLogged(server, 'draining');
  for (const url of [server.url, server.managementUrl]) {
    const ready = await ask('GET', `${url}/readyz`);
    t.equal(ready.status, 503);
    t.match(ready.body, { status: 'draining', reasons: ['drain'] });
  }
  t.equal((await ask('GET', `${server.url}/healthz`)).status, 200);
  t.equal((await ask('GET', `${server.url}/${key}`)).status, 302, 'redirects go on');
  t.equal(
    (await ask('POST', `${server.url}/shorten`, { body: { url: 'https://example.com/b' } })).status,
    201,
  );
  server.kill('SIGTERM');

  t.same(await server.exit, { code: 0, signal: null });
  t.same(
    phases(server),
    ['listening', 'draining', 'readiness changed', 'stopping', 'stopped'],
    'a second SIGTERM changes nothing',
  );
  const [draining, stopping] = ['draining', 'stopping'].map((name) => timeOf(server, name));
  t.ok(Number(stopping) - Number(draining) >= 2000, 'DRAIN_MS have passed in between');
});

t.test('SIGINT cuts a drain short', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t), env: { DRAIN_MS: '600000' } });
  server.kill('SIGTERM');
  await untilLogged(server, 'draining');
  t.same(await server.stop('SIGINT'), { code: 0, signal: null });
  t.same(phases(server), ['listening', 'draining', 'stopping', 'stopped']);
});

t.test('a drain that was asked for survives a restart, and can be taken back', async (t) => {
  const dataDir = makeFolder(t);
  const first = await startServer(t, { dataDir });
  t.equal((await ask('POST', `${first.managementUrl}/drain`)).status, 200);
  t.match((await ask('GET', `${first.url}/readyz`)).body, { status: 'draining' });
  await first.stop();

  const second = await startServer(t, { dataDir });
  t.equal((await ask('GET', `${second.url}/readyz`)).status, 503);
  t.equal((await ask('DELETE', `${second.managementUrl}/drain`)).status, 200);
  t.match((await ask('GET', `${second.url}/readyz`)).body, { status: 'ready', reasons: [] });
  t.same(await second.stop(), { code: 0, signal: null });
});

t.test('a second SIGINT at once is the same key press, a later one ends the process with 130', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  const slow = startSlowCreate(server);
  await slow.isUnderWay;
  server.kill('SIGINT');
  await untilLogged(server, 'stopping');
  server.kill('SIGINT');
  const stoppingAt = timeOf(server, 'stopping');
  await until('a second has passed', () => Date.now() - stoppingAt > 1100);
  t.notOk(hasEnded(server), 'the first repetition changed nothing');
  server.kill('SIGINT');
  t.same(await server.exit, { code: 130, signal: null });
  t.same(phases(server), ['listening', 'stopping'], 'nothing of the log is lost');
  await t.rejects(slow.finish(), 'the request is cut');
});

t.test('no line of a burst of requests is lost at the end', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  const count = 500;
  const answers = await Promise.all(
    Array.from({ length: count }, (_, index) => ask('GET', `${server.url}/burst-${index}`, { key: null })),
  );
  t.ok(answers.every(({ status }) => status === 404));
  t.same(await server.stop(), { code: 0, signal: null });
  const paths = new Set(server.log().map(({ path }) => path));
  t.ok(Array.from({ length: count }, (_, index) => `/burst-${index}`).every((path) => paths.has(path)));
  t.equal(server.log().at(-1)?.msg, 'stopped');
});

for (const [fault, name] of [
  ['an exception on SIGUSR2', 'an exception that nobody caught'],
  ['a rejection on SIGUSR2', 'a rejection that nobody handled'],
] as const) {
  t.test(`${name} ends the process with one fatal line and 1`, async (t) => {
    const server = await startServer(t, {
      dataDir: makeFolder(t),
      env: { FAULT: fault },
      preload: ['test/support/fault.ts'],
    });
    await ask('GET', `${server.url}/before`, { key: null });
    t.same(await server.stop('SIGUSR2'), { code: 1, signal: null });
    const fatal = server.log().filter(({ level }) => level === 'fatal');
    t.match(fatal, [{ msg: 'an error that nobody expected ends the process', err: { message: 'injected' } }]);
    t.equal(fatal.length, 1);
    t.ok(
      server.log().some(({ path }) => path === '/before'),
      'the lines before it are written, too',
    );
    t.equal(server.stderr(), '');
  });
}

t.test('a stop that fails ends with 1 and says so', async (t) => {
  const server = await startServer(t, {
    dataDir: makeFolder(t),
    env: { FAULT: 'closing the database fails' },
    preload: ['test/support/fault.ts'],
  });
  t.same(await server.stop(), { code: 1, signal: null });
  t.match(server.log().at(-1), { level: 'fatal', msg: 'the stop failed', err: { message: 'injected' } });
});

t.test('what is still in flight at the deadline of a stop is cut', async (t) => {
  const clock = createFakeClock();
  const never: ServerResponse[] = [];
  const listener = createListener({
    clock,
    handle: (_request, response) => void never.push(response),
    onClosed: () => undefined,
    onClientError: () => undefined,
    clientOf: () => null,
    onConnectionDropped: () => undefined,
  });
  const port = await findFreePort();
  await listener.listen(port, '127.0.0.1');
  const socket = await openSocket(`http://127.0.0.1:${port}`);
  socket.write('GET /never HTTP/1.1\r\nHost: sho.rt\r\n\r\n');
  await until('the request is under way', () => never.length === 1);

  let isStopped = false;
  const stopped = listener.stop(30_000).then(() => {
    isStopped = true;
  });
  for (let second = 1; second < 30; second++) await clock.advance(1000);
  t.notOk(isStopped, 'after 29 s it still waits');
  t.notOk(socket.closed);
  await clock.advance(1000);
  await stopped;
  await until('the client sees the end', () => socket.closed);
});

async function untilLogged(server: ServerProcess, msg: string): Promise<void> {
  await until(`it logs "${msg}"`, () => server.log().some((line) => line.msg === msg));
}

function timeOf(server: ServerProcess, msg: string): number {
  return Number(server.log().find((line) => line.msg === msg)?.time);
}

function phases(server: ServerProcess): unknown[] {
  return server
    .log()
    .map(({ msg }) => msg)
    .filter((msg) => msg !== 'request');
}

function hasEnded({ child }: ServerProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

interface SlowRequest {
  readonly isUnderWay: Promise<void>;
  /** Sends the rest of the body. */
  finish(): Promise<IncomingMessage>;
}

/** A create whose body stops half-way: the server has begun with it and waits. */
function startSlowCreate({ url }: RunningServer): SlowRequest {
  const body = JSON.stringify({ url: 'https://example.com/slow' });
  const asked = request(`${url}/shorten`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${ADMIN_KEY}`,
      'content-type': 'application/json',
      'content-length': body.length,
      expect: '100-continue',
    },
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve);
    asked.once('error', reject);
  });
  // Whoever does not wait for the answer does not care how it ends.
  answered.catch(() => undefined);
  asked.flushHeaders();
  return {
    // The server says `100 Continue` once it has the headers.
    isUnderWay: once(asked, 'continue').then(() => void asked.write(body.slice(0, 10))),
    finish: async () => {
      asked.end(body.slice(10));
      const response = await answered;
      response.resume();
      await once(response, 'end');
      return response;
    },
  };
}

async function openSocket(url: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.setEncoding('utf8');
  // A reset is one of the ways in which a connection may end here.
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** One request on a connection that stays open; resolves with the whole answer as text. */
async function askOn(socket: Socket, line: string): Promise<string> {
  let text = '';
  const read = (chunk: string) => {
    text += chunk;
  };
  socket.on('data', read);
  socket.write(`${line} HTTP/1.1\r\nHost: sho.rt\r\n\r\n`);
  await until('the answer is whole', () => {
    const [head = '', body = ''] = text.split('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(head)?.[1];
    return length !== undefined && Buffer.byteLength(body) >= Number(length);
  });
  socket.off('data', read);
  return text;
}

async function isRefused(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  return await new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}
