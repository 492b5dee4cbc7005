// Failures of ours: what a client learns of them, and what the log does.

import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import t from 'tap';
import { createErrorAnswerer } from '../../app/http/answer-error.ts';
import { createClientAddressReader } from '../../app/http/client-address.ts';
import { attachExchange } from '../../app/http/exchange.ts';
import { createListener } from '../../app/http/listener.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { AppError } from '../../app/kernel/errors.ts';
import type { Store } from '../../app/store/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type HttpService, problem, startHttp } from '../support/http.ts';
import { sendRaw } from '../support/raw-http.ts';

const INTERNAL = problem(
  'internal',
  'Something went wrong on our side. The log has the details under this request id.',
);
const headers = { 'x-request-id': 'id-1' };

/** A store of which every way to links fails with `error`. */
function failing(error: unknown) {
  const fail = () => Promise.reject(error);
  return (store: Store): Store => ({
    ...store,
    links: {
      ...store.links,
      apply: fail,
      findLink: fail,
      listLinks: fail,
      listEvents: fail,
      lookup: () => {
        throw error;
      },
    },
  });
}

const CALLS = [
  ['GET', '/autumn', undefined, '/{key}'],
  ['HEAD', '/autumn', undefined, '/{key}'],
  ['POST', '/shorten', { url: 'https://example.com/' }, '/shorten'],
  ['GET', '/api/v1/links', undefined, '/api/v1/links'],
  ['POST', '/api/v1/links:batch', { links: [{ url: 'https://example.com/' }] }, '/api/v1/links:batch'],
  ['GET', '/api/v1/links/autumn', undefined, '/api/v1/links/{key}'],
  ['PATCH', '/api/v1/links/autumn', { title: 'x' }, '/api/v1/links/{key}'],
  ['DELETE', '/api/v1/links/autumn?purge=true', undefined, '/api/v1/links/{key}'],
  ['GET', '/api/v1/events', undefined, '/api/v1/events'],
] as const;

function failureLines({ log }: HttpService): Record<string, unknown>[] {
  return log().filter(({ msg }) => msg === 'request failed');
}

t.test('a defect is answered with 500 and nothing of its details, and logged once with them', async (t) => {
  const service = await startHttp(t, { wrapStore: failing(new TypeError('canary is not a function')) });
  for (const [index, [method, path, body, route]] of CALLS.entries()) {
    const answer = await service.ask(method, path, { body, headers });
    t.equal(answer.status, 500, `${method} ${path}`);
    t.strictSame(answer.body, method === 'HEAD' ? null : INTERNAL);
    t.equal(answer.headers.get('x-request-id'), 'id-1');
    const lines = failureLines(service);
    t.equal(lines.length, index + 1);
    t.match(lines.at(-1), {
      level: 'error',
      request_id: 'id-1',
      route,
      err: { type: 'TypeError', message: 'canary is not a function', stack: /canary/ },
    });
  }
});

t.test('a defect is shown to a browser as a page', async (t) => {
  const { ask } = await startHttp(t, { wrapStore: failing(new Error('canary')) });
  const { status, body } = await ask('GET', '/autumn', { headers: { accept: 'text/html' } });
  t.equal(status, 500);
  t.match(body, /<h1>Internal Server Error<\/h1>/);
  t.notMatch(body, /canary/);
});

t.test('also what is no Error is a defect', async (t) => {
  for (const thrown of ['canary', null, undefined, { status: 400 }]) {
    const { ask } = await startHttp(t, { wrapStore: failing(thrown) });
    const { status, body } = await ask('GET', '/api/v1/links/autumn');
    t.equal(status, 500, String(thrown));
    t.strictSame(body, INTERNAL);
  }
});

t.test('an error with a status that no body reader gives is a defect', async (t) => {
  const error = Object.assign(new Error('canary'), { status: 418 });
  const { ask } = await startHttp(t, { wrapStore: failing(error) });
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, INTERNAL);
});

t.test('a store that does not answer is 503 with Retry-After, and a warning in the log', async (t) => {
  const sentence = 'Another process is writing to the database. Try again in a moment.';
  const error = new AppError('unavailable', sentence, {
    retryAfterSeconds: 1,
    cause: new Error('SQLITE_BUSY'),
  });
  const service = await startHttp(t, { wrapStore: failing(error) });
  for (const [index, [method, path, body, route]] of CALLS.entries()) {
    const answer = await service.ask(method, path, { body, headers });
    t.equal(answer.status, 503, `${method} ${path}`);
    t.equal(answer.headers.get('retry-after'), '1');
    t.strictSame(answer.body, method === 'HEAD' ? null : problem('unavailable', sentence));
    const lines = failureLines(service);
    t.equal(lines.length, index + 1);
    t.match(lines.at(-1), { level: 'warn', request_id: 'id-1', route, err: { message: 'SQLITE_BUSY' } });
    await service.clock.advance(1000);
  }
});

t.test('a store that breaks its promises is a defect', async (t) => {
  const answers = [
    [['PUT', '/api/v1/links/a', { url: 'https://example.com/' }], []],
    [['PUT', '/api/v1/links/a', { url: 'https://example.com/' }], [{ committed: true, outcomes: [] }]],
    [
      ['PUT', '/api/v1/links/a', { url: 'https://example.com/' }],
      [{ committed: true, outcomes: [{ type: 'purged' }] }],
    ],
    [['POST', '/api/v1/links', { url: 'https://example.com/' }], []],
    [
      ['POST', '/api/v1/links', { url: 'https://example.com/' }],
      [{ committed: true, outcomes: [{ type: 'purged' }] }],
    ],
  ] as const;
  for (const [[method, path, body], results] of answers) {
    const { ask } = await startHttp(t, {
      wrapStore: (store) => ({ ...store, links: { ...store.links, apply: async () => results } }),
    });
    const answer = await ask(method, path, { body });
    t.equal(answer.status, 500);
    t.strictSame(answer.body, INTERNAL);
  }
});

t.test('a target that no header can carry is a defect, and not half an answer', async (t) => {
  const { ask } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      links: {
        ...store.links,
        lookup: () => ({
          id: 1,
          url: 'https://example.com/\r\n',
          status: 'enabled',
          redirectStatus: 302,
          expiresAtMs: null,
          maxClicks: null,
          maxClicksSeq: 0,
        }),
      },
    }),
  });
  const { status, body } = await ask('GET', '/autumn');
  t.equal(status, 500);
  t.strictSame(body, INTERNAL);
});

t.test('an answer that fails half-way is cut, so that nobody takes it for a whole one', async (t) => {
  const answerError = createErrorAnswerer({
    clock: createFakeClock(),
    logger: pino({ level: 'silent' }),
    securityHeaders: [],
  });
  const server = createServer((request, response) => {
    attachExchange(request, {
      requestId: 'id-1',
      traceId: '',
      clientAddress: '',
      startedAt: 0,
      route: '/',
    });
    response.writeHead(200, { 'Content-Length': '100' });
    response.write('half', () => answerError(request, response, new Error('no more')));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await t.rejects(fetch(url).then((response) => response.text()));
  t.strictSame(await sendRaw(url, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'), []);
});

t.test('what is unavailable to many at a time is logged once a second, with how many there were', (t) => {
  const clock = createFakeClock();
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'warn' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const answerError = createErrorAnswerer({ clock, logger, securityHeaders: [] });
  const fail = (error: Error): void => {
    const request = { headers: {}, method: 'GET', url: '/' } as IncomingMessage;
    attachExchange(request, { requestId: 'id', traceId: '', clientAddress: '', startedAt: 0, route: '/' });
    answerError(request, { headersSent: true, destroy: () => undefined } as never, error);
  };
  const full = new AppError('unavailable', 'The disk is full.');
  for (let time = 0; time < 5; time++) fail(full);
  fail(new AppError('unavailable', 'Too many wait.'));
  fail(new Error('broken'));
  fail(new Error('broken'));
  void clock.advance(1000);
  fail(full);
  fail(full);
  t.match(lines, [
    { level: 40, err: { message: 'The disk is full.' } },
    { level: 40, err: { message: 'Too many wait.' } },
    { level: 50, err: { message: 'broken' } },
    { level: 50, err: { message: 'broken' } },
    { level: 40, err: { message: 'The disk is full.' }, more: 4 },
  ]);
  t.equal(lines.length, 5);
  t.end();
});

t.test('a connection that is gone already has no address', async (t) => {
  const gone = { socket: {}, headers: {} } as never;
  t.equal(createClientAddressReader([])(gone), 'unknown');
  t.equal(createClientAddressReader(['127.0.0.1'])(gone), 'unknown');
});

const listener = () =>
  createListener({
    clock: systemClock,
    handle: (_request, response) => response.end(),
    onClosed: () => undefined,
    onClientError: (_error, socket) => socket.destroy(),
    clientOf: () => null,
    onConnectionDropped: () => undefined,
  });

t.test('a port that cannot be had is explained', async (t) => {
  const { context } = await startHttp(t);
  const port = context.publicListener.port();
  await t.rejects(listener().listen(port, '127.0.0.1'), {
    name: 'StartError',
    message: `127.0.0.1:${port} is in use by another process. Stop it, or set PORT or MANAGEMENT_PORT to a free port.`,
  });
  await t.rejects(listener().listen(0, '192.0.2.1'), {
    name: 'StartError',
    message: '192.0.2.1 is no address of this machine. Set HOST or MANAGEMENT_HOST to one that is.',
  });
  await t.rejects(listener().listen(0, 'nowhere.invalid'), {
    name: 'StartError',
    message: /^nowhere\.invalid:0 cannot be listened on \(getaddrinfo \w+ nowhere\.invalid\)\.$/,
  });
  t.throws(() => listener().port(), { message: 'The listener does not listen.' });
});

t.test('a port that only root may have is explained', async (t) => {
  // Whoever runs as root lays that down for a moment; some machines let everybody have every port.
  const isRoot = process.getuid?.() === 0;
  const port = listener();
  t.teardown(() => port.stop(0));
  if (isRoot) process.seteuid?.(65534);
  const error = await port.listen(1, '127.0.0.1').catch((thrown: unknown) => thrown);
  if (isRoot) process.seteuid?.(0);
  t.match(
    error ?? { name: 'StartError', message: EACCES },
    { name: 'StartError', message: EACCES },
    'unless everybody may have it here',
  );
});

const EACCES = '127.0.0.1:1 is not allowed: ports below 1024 need root. Choose a higher one.';
