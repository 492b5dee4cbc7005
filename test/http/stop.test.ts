// Stopping a port: nobody who asks is dropped, whoever is idle is ended after a second, and the deadline cuts the rest.
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
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
