// Stopping a port: nobody who asks is dropped, whoever is idle is ended after a second, and the deadline cuts the rest.
import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createListener, type Listener } from '../../app/http/listener.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { type HttpService, startHttp } from '../support/http.ts';
import { connect, readAnswers } from '../support/raw-http.ts';
import { until } from '../support/until.ts';

const REQUEST = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

interface SlowService {
  readonly service: HttpService;
  /** Asks for a link on a connection of its own; `answer` lets the store answer, with no link. */
  ask(): Promise<{ readonly socket: Socket; readonly answer: () => void }>;
}

/** A service whose store answers lookups when the test says so. */
async function startSlow(t: Test): Promise<SlowService> {
  const lookups = new EventEmitter();
  const service = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      links: {
        ...store.links,
        lookup: () => new Promise((resolve) => lookups.emit('lookup', () => resolve(null))),
      },
    }),
  });
  return {
    service,
    async ask() {
      const lookup = once(lookups, 'lookup');
      const socket = await connect(service.url);
      socket.write('GET /autumn HTTP/1.1\r\nHost: x\r\n\r\n');
      const [answer] = (await lookup) as [() => void];
      return { socket, answer };
    },
  };
}

interface Exchange {
  readonly socket: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface BarePort {
  readonly clock: FakeClock;
  readonly listener: Listener;
  /** Sends bytes on a connection, a new one if none is given; the test answers. */
  send(bytes: string, socket?: Socket): Promise<Exchange>;
}

/** A port with nothing behind it. */
async function startBare(t: Test): Promise<BarePort> {
  const clock = createFakeClock();
  const requests = new EventEmitter();
  const listener = createListener({
    clock,
    handle: (request, response) => requests.emit('request', request, response),
    onClosed: () => undefined,
    onClientError: (_error, socket) => socket.destroy(),
    clientOf: () => null,
    onConnectionDropped: () => undefined,
  });
  await listener.listen(0, '127.0.0.1');
  t.teardown(() => listener.stop(0));
  return {
    clock,
    listener,
    async send(bytes, used) {
      const socket = used ?? (await connect(`http://127.0.0.1:${listener.port()}`));
      const asked = once(requests, 'request');
      socket.write(bytes);
      const [request, response] = (await asked) as [IncomingMessage, ServerResponse];
      return { socket, request, response };
    },
  };
}

/** A connection that was used once and is kept open. */
async function openIdle(url: string): Promise<Socket> {
  const socket = await connect(url);
  socket.write(REQUEST);
  await once(socket, 'data');
  return socket;
}

t.test('a stop ends who is idle after a second and waits for who is not', async (t) => {
  const { service, ask } = await startSlow(t);
  const { clock, context, url } = service;
  const idle = await openIdle(url);
  const unused = await connect(url);
  const reused = await openIdle(url);
  const busy = await ask();
  const stopped = context.publicListener.stop(30_000);

  // In the second that idle connections are given, one that asks is answered, and told that it was the last time.
  reused.write(REQUEST);
  const [last] = await readAnswers(reused);
  t.equal(last?.status, 200);
  t.equal(last?.headers.get('connection'), 'close');

  const ended = Promise.all([once(idle, 'close'), once(unused, 'close')]);
  for (const socket of [idle, unused]) socket.resume().on('error', () => undefined);
  await clock.advance(1000);
  await ended;
  t.equal(busy.socket.destroyed, false);

  busy.answer();
  const [answer] = await readAnswers(busy.socket);
  t.equal(answer?.status, 404);
  t.equal(answer?.headers.get('connection'), 'close');
  await stopped;
  await t.rejects(connect(url), { code: 'ECONNREFUSED' });
});

t.test('a stop cuts at its deadline what is still in flight', async (t) => {
  const { service, ask } = await startSlow(t);
  const { clock, context } = service;
  const busy = await ask();
  const stopped = context.publicListener.stop(2500);
  const answers = readAnswers(busy.socket);
  for (const ms of [1000, 1000, 1000]) await clock.advance(ms);
  await stopped;
  t.strictSame(await answers, []);
});

t.test('a wall clock that is set by an hour neither ends a stop early nor prolongs it', async (t) => {
  for (const ms of [3_600_000, -3_600_000]) {
    const { service, ask } = await startSlow(t);
    const { clock, context } = service;
    const busy = await ask();
    let isStopped = false;
    const stopped = context.publicListener.stop(3000).then(() => {
      isStopped = true;
    });
    clock.moveWall(ms);
    const answers = readAnswers(busy.socket);
    for (let second = 1; second < 3; second++) await clock.advance(1000);
    t.notOk(isStopped, 'after 2 s it still waits');
    await clock.advance(1000);
    await stopped;
    t.strictSame(await answers, []);
  }
});

t.test('a stop lets a slow client take the whole of its answer', async (t) => {
  const { clock, listener, send } = await startBare(t);
  const { socket, request, response } = await send(REQUEST);
  // More than the buffers of the two kernels hold.
  const body = Buffer.alloc(32 * 1024 * 1024);
  response.end(body);
  const stopped = listener.stop(30_000);
  for (let second = 1; second <= 5; second++) await clock.advance(1000);
  t.ok(request.socket.writableLength > 0, 'the answer is made but not sent');
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  await once(response, 'close');
  await clock.advance(1000);
  await Promise.all([stopped, once(socket, 'close')]);
  t.ok(received > body.length, `${received} bytes came`);
});

t.test('a stop gives a connection a second after the last answer that did not say "close"', async (t) => {
  const { clock, listener, send } = await startBare(t);
  const { socket, response } = await send(REQUEST);
  response.writeHead(200, { 'content-length': 2 }).flushHeaders();
  const stopped = listener.stop(30_000);
  const first = readAnswers(socket, { answers: 2 });
  await clock.advance(999);
  response.end('ok');
  await once(response, 'close');
  await clock.advance(1);
  const last = await send(REQUEST, socket);
  last.response.end();
  t.strictSame(
    (await first).map(({ headers }) => headers.get('connection')),
    ['keep-alive', 'close'],
  );
  await stopped;
});

t.test('a stop waits for the rest of a request that has begun', async (t) => {
  const { clock, listener, send } = await startBare(t);
  const { socket, request, response } = await send(REQUEST);
  response.end();
  await once(response, 'close');
  const { bytesRead } = request.socket;
  socket.write(REQUEST.slice(0, 10));
  await until('half a request came', () => request.socket.bytesRead > bytesRead);
  const stopped = listener.stop(30_000);
  for (let second = 1; second <= 5; second++) await clock.advance(1000);
  t.notOk(request.socket.destroyed);
  const { response: last } = await send(REQUEST.slice(10), socket);
  last.end();
  await stopped;
});

t.test('a request that is not sent to its end holds up a stop no longer than its time', async (t) => {
  const limits = { headersTimeoutMs: 100, requestTimeoutMs: 200, timeoutCheckMs: 20 };
  const { clock, context, url } = await startHttp(t, { limits });
  const used = await openIdle(url);
  const fresh = await connect(url);
  // The clock stands still, so that the stop itself ends nobody.
  const stopped = context.publicListener.stop(30_000);
  for (const socket of [used, fresh]) {
    socket.write(REQUEST.slice(0, 10));
    const [answer] = await readAnswers(socket);
    t.equal(answer?.status, 408);
  }
  await clock.advance(1000);
  await stopped;
});

t.test('a stop waits for the rest of a request whose answer overtook it, and then a second', async (t) => {
  const { clock, listener, send } = await startBare(t);
  const { socket, request, response } = await send(
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf',
  );
  response.end();
  await once(response, 'close');
  const stopped = listener.stop(30_000);
  for (let second = 1; second <= 5; second++) await clock.advance(1000);
  t.notOk(request.socket.destroyed);
  socket.write('half');
  await once(request, 'close');
  await clock.advance(999);
  t.notOk(request.socket.destroyed);
  await clock.advance(1);
  await stopped;
});

t.test('a stop does not wait for its deadline when a client does not take its answers', async (t) => {
  const { context, url } = await startHttp(t, {
    limits: { answerTimeoutMs: 300, keepAliveTimeoutMs: 100, timeoutCheckMs: 20 },
  });
  const socket = await connect(url);
  t.teardown(() => socket.destroy());
  // More than the buffers of the two kernels hold.
  socket.write('GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000));
  const isAnswering = () =>
    context.metrics.registry.metrics().then((text) => text.includes('/api/openapi.json'));
  await until('the first answers are written', isAnswering);
  // The clock stands still, so the deadline never comes.
  await context.publicListener.stop(30_000);
});
