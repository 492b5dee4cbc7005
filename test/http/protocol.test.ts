// HTTP itself: methods, hosts, lengths, slow clients, and requests that the parser gives up on.
import { once } from 'node:events';
import { STATUS_CODES } from 'node:http';
import net from 'node:net';
import t, { type Test } from 'tap';
import { PAGE_STYLE } from '../../app/http/pages.ts';
import { createSecurityHeaders } from '../../app/http/security-headers.ts';
import { makeLink, problem, startHttp } from '../support/http.ts';
import { connect, type RawAnswer, readAnswers, sendRaw } from '../support/raw-http.ts';
import { startService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** As every other answer has them (test/http/security-headers.test.ts). */
const SECURITY_HEADERS = Object.fromEntries(
  chunk(createSecurityHeaders({ isHttps: false, styles: [PAGE_STYLE] })),
);

function chunk(list: readonly string[]): (readonly [string, string])[] {
  return list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1] as string] as const] : []));
}

/** What an answer that had to be written by hand looks like. */
function handwritten(t: Test, answer: RawAnswer | undefined, status: number, code: string, sentence: string) {
  t.equal(answer?.status, status);
  const { 'x-request-id': requestId, ...headers } = Object.fromEntries(answer?.headers ?? []);
  t.match(requestId, UUID);
  t.strictSame(headers, {
    'cache-control': 'no-store',
    connection: 'close',
    'content-length': String(Buffer.byteLength(answer?.body ?? '')),
    'content-type': 'application/problem+json',
    ...Object.fromEntries(new Headers(SECURITY_HEADERS)),
  });
  t.strictSame(JSON.parse(answer?.body ?? ''), {
    type: `urn:fleetlink:error:${code}`,
    title: STATUS_CODES[status],
    status,
    detail: sentence,
    error: sentence,
  });
}

t.test('a path answers methods that it lacks with the ones that it has', async (t) => {
  const { ask } = await startHttp(t);
  const paths = {
    '/': 'GET, HEAD',
    '/shorten': 'POST',
    '/healthz': 'GET, HEAD',
    '/api/v1/links': 'POST, GET, HEAD',
    '/api/v1/links:batch': 'POST',
    '/api/v1/links/{key}': 'GET, PUT, PATCH, DELETE, HEAD',
    '/api/v1/api-keys/{id}': 'DELETE',
  };
  for (const [path, allow] of Object.entries(paths)) {
    const real = path.replace(/\{\w+\}/, '1');
    const options = await ask('OPTIONS', real, { key: null });
    t.equal(options.status, 204, path);
    t.equal(options.headers.get('allow'), allow);
    t.equal(options.body, null);
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((name) => !allow.includes(name))) {
      const answer = await ask(method, real, { key: null });
      t.equal(answer.status, 405, `${method} ${path}`);
      t.equal(answer.headers.get('allow'), allow);
      t.strictSame(answer.body, problem('method_not_allowed', `${path} has ${allow}, not ${method}.`));
    }
  }
});

t.test('a whole URL in the request line is read by its path', async (t) => {
  const { ask, url } = await startHttp(t);
  const { key } = await makeLink(ask, { url: 'https://example.com/whole' });
  const request = async (target: string): Promise<RawAnswer | undefined> => {
    const [answer] = await sendRaw(
      url,
      `GET ${target} HTTP/1.1\r\nHost: sho.rt\r\nConnection: close\r\n\r\n`,
    );
    return answer;
  };
  const redirect = await request(`http://sho.rt/${key}?x=1`);
  t.equal(redirect?.status, 302);
  t.equal(redirect?.headers.get('location'), 'https://example.com/whole');
  t.equal((await request('HTTPS://sho.rt'))?.status, 200);
  t.equal((await request('http://sho.rt?x=1'))?.status, 400);
  t.equal((await request('*autumn'))?.status, 400);
});

t.test('a connection that sends too many requests ahead is cut', async (t) => {
  const { url } = await startHttp(t, { limits: { pipelinedMax: 8 } });
  const get = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
  t.equal((await sendRaw(url, get.repeat(8), { answers: 8 })).length, 8);
  const socket = await connect(url);
  socket.on('error', () => undefined);
  socket.write(get.repeat(1000));
  await once(socket, 'close');
  t.equal((await sendRaw(url, get, { answers: 1 }))[0]?.status, 200);
});

t.test('paths are taken by the letter', async (t) => {
  const { ask } = await startHttp(t);
  for (const path of [
    '/Shorten',
    '/shorten/',
    '/api/v1/links/',
    '/API/v1/links',
    '/api/v1/links:BATCH',
    '/api/v1/links/a/',
    '/api',
    '/api/v1',
    '/nowhere/at/all',
  ]) {
    const { status, body } = await ask('GET', path);
    t.equal(status, 404, path);
    t.strictSame(body, problem('not_found', `There is nothing at ${path}.`));
  }
});

t.test('an address that does not decode is refused', async (t) => {
  const { ask } = await startHttp(t);
  for (const path of ['/api/v1/links/%', '/api/v1/links/%E0%A4', '/api/v1/links/%zz/history']) {
    const { status, body } = await ask('GET', path);
    t.equal(status, 400, path);
    t.strictSame(body, problem('invalid', 'The request is malformed or ended too early.'));
  }
  t.equal((await ask('GET', '/api/v1/links/%61')).status, 404, 'what decodes is read');
});

t.test('an address of 8,192 characters is read, and none that is longer', async (t) => {
  const { ask } = await startHttp(t);
  const path = (length: number) => '/a/'.padEnd(length, 'x');
  t.equal((await ask('GET', path(8192))).status, 404);
  const { status, body } = await ask('GET', path(8193));
  t.equal(status, 413);
  t.strictSame(body, problem('too_large', 'The URL is longer than 8192 characters.'));
  t.equal((await ask('GET', `/api/v1/links?q=${'x'.repeat(8192)}`)).status, 413);
});

t.test('HTTP/1.1 needs a Host, HTTP/1.0 does not', async (t) => {
  const { ask, url } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  for (const path of ['/autumn', '/healthz']) {
    const [missing] = await sendRaw(url, `GET ${path} HTTP/1.1\r\n\r\n`, { answers: 1 });
    t.equal(missing?.status, 400);
    t.strictSame(JSON.parse(missing?.body ?? ''), problem('invalid', 'The Host header is missing.'));
    t.match(missing?.headers.get('x-request-id'), UUID);
    const [twice] = await sendRaw(url, `GET ${path} HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n`, { answers: 1 });
    t.equal(twice?.status, 400);
    t.strictSame(JSON.parse(twice?.body ?? ''), problem('invalid', 'The Host header is given twice.'));
    const [old] = await sendRaw(url, `GET ${path} HTTP/1.0\r\n\r\n`);
    t.equal(old?.status, path === '/autumn' ? 302 : 200);
  }
});

t.test('an expectation that nobody knows is ignored, and 100-continue is met', async (t) => {
  const { url } = await startHttp(t);
  const [unknown] = await sendRaw(url, 'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n', {
    answers: 1,
  });
  t.equal(unknown?.status, 200);
  t.match(unknown?.headers.get('x-request-id'), UUID);
  const body = '{"url":"https://example.com/"}';
  const socket = await connect(url);
  socket.write(
    'POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n' +
      `Content-Length: ${body.length}\r\n\r\n`,
  );
  const [interim] = await once(socket, 'data');
  t.equal(String(interim), 'HTTP/1.1 100 Continue\r\n\r\n');
  socket.write(body);
  const [made] = await readAnswers(socket, { answers: 1 });
  t.equal(made?.status, 201);
});

t.test('requests in one packet are answered one by one, in their order', async (t) => {
  const { ask, url } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  const paths = ['/healthz', '/autumn', '/nothing', '/api/openapi.json', '/autumn', '/readyz', '/a/b'];
  const bytes = paths.map(
    (path, index) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: id-${index}\r\n\r\n`,
  );
  const answers = await sendRaw(url, bytes.join(''), { answers: paths.length });
  t.strictSame(
    answers.map(({ status, headers }) => [status, headers.get('x-request-id')]),
    [200, 302, 404, 200, 302, 200, 404].map((status, index) => [status, `id-${index}`]),
  );
});

t.test('what is no HTTP is answered with a problem and closed', async (t) => {
  const service = await startHttp(t);
  const sentence = 'This is not a valid HTTP request.';
  const requests = [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET autumn HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ];
  for (const bytes of requests) {
    const answers = await sendRaw(service.url, bytes);
    t.equal(answers.length, 1, JSON.stringify(bytes));
    handwritten(t, answers[0], 400, 'invalid', sentence);
  }
  const lines = service.log().filter(({ msg }) => msg === 'malformed request');
  t.equal(lines.length, requests.length);
  const { time: _, hostname: __, request_id: ___, ...line } = lines[0] ?? {};
  t.strictSame(line, {
    level: 'info',
    pid: process.pid,
    route: 'unmatched',
    status: 400,
    reason: 'HPE_INVALID_METHOD',
    msg: 'malformed request',
  });
});

t.test('requests before one that is no HTTP are answered first, in their order', async (t) => {
  const { ask, url, log } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  const good = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const cases: Record<string, number[]> = {
    [`${good('/autumn')}nonsense\r\n\r\n`]: [302, 400],
    [`${good('/autumn')}${good('/api/v1/links')}${good('/autumn')}nonsense\r\n\r\n`]: [302, 401, 302, 400],
    [`${good('/autumn')}GET / HTTP/1.1\r\nX: ${'x'.repeat(17 * 1024)}\r\n\r\n`]: [302, 431],
    // A request whose body breaks off has the refusal for its answer, and so has none of its own.
    [`${good('/autumn')}POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n`]:
      [302, 400],
    'GET /autumn HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nnonsense\r\n\r\n': [302],
  };
  for (const [bytes, statuses] of Object.entries(cases)) {
    const answers = await sendRaw(url, bytes);
    t.strictSame(
      answers.map(({ status }) => status),
      statuses,
      JSON.stringify(bytes.slice(-100)),
    );
  }
  t.equal(log().filter(({ msg }) => msg === 'malformed request').length, 4);
});

t.test('more that is no HTTP, while a request before it is under way, is refused once', async (t) => {
  const lookups: ((link: null) => void)[] = [];
  const { url } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      links: { ...store.links, lookup: () => new Promise((resolve) => lookups.push(resolve)) },
    }),
  });
  const socket = await connect(url);
  const answers = readAnswers(socket);
  socket.write('GET /autumn HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n');
  await until('the store is asked', () => lookups.length === 1);
  for (let count = 0; count < 3; count++) {
    socket.write('more nonsense\r\n');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  lookups[0]?.(null);
  t.strictSame(
    (await answers).map(({ status }) => status),
    [404, 400],
  );
});

t.test('a client that is refused by hand and does not close is closed', async (t) => {
  const { url, context } = await startHttp(t, { limits: { keepAliveTimeoutMs: 100 } });
  const { hostname, port } = new URL(url);
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  socket.write('nonsense\r\n\r\n');
  await once(socket.resume(), 'end');
  // The clock stands still, so that a stop by itself ends nobody.
  await context.publicListener.stop(30_000);
});

t.test('a client that does not take its answers is left after its time', async (t) => {
  const asked = 1000;
  const { url, log } = await startHttp(t, {
    limits: { answerTimeoutMs: 300, timeoutCheckMs: 20, pipelinedMax: 1000 },
  });
  const startedAt = performance.now();
  const socket = await connect(url);
  // More than the buffers of the two kernels hold.
  socket.write('GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(asked));
  await until('a request counts as given up', () => log().some(({ status }) => status === 499));
  t.ok(performance.now() - startedAt >= 300);
  const answers = await readAnswers(socket);
  t.ok(answers.length < asked, `${answers.length} answers came`);
});

t.test('an answer that takes its time to make is not hurt, nor one that waits behind it', async (t) => {
  const lookups: ((link: null) => void)[] = [];
  const { url } = await startHttp(t, {
    limits: { answerTimeoutMs: 50, timeoutCheckMs: 10 },
    wrapStore: (store) => ({
      ...store,
      links: { ...store.links, lookup: () => new Promise((resolve) => lookups.push(resolve)) },
    }),
  });
  const socket = await connect(url);
  socket.write('GET /autumn HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the store is asked', () => lookups.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  lookups[0]?.(null);
  const answers = await readAnswers(socket, { answers: 2 });
  t.strictSame(
    answers.map(({ status }) => status),
    [404, 200],
  );
});

t.test('headers of more than 16 kB are refused', async (t) => {
  const { url } = await startHttp(t);
  const request = (bytes: number) =>
    `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(bytes)}\r\n\r\n`;
  const [fits] = await sendRaw(url, request(15 * 1024), { answers: 1 });
  t.equal(fits?.status, 200);
  const [large] = await sendRaw(url, request(17 * 1024));
  handwritten(t, large, 431, 'headers_too_large', 'The headers are larger than 16 kB.');
});

t.test('a client that is too slow with its headers or its body is told so and left', async (t) => {
  const limits = { headersTimeoutMs: 100, requestTimeoutMs: 200, timeoutCheckMs: 20 };
  const { url, ask } = await startHttp(t, { limits });
  const head =
    'POST /shorten HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n';
  for (const bytes of ['POST /short', head, `${head}\r\n{"url":`]) {
    const [slow] = await sendRaw(url, bytes);
    handwritten(t, slow, 408, 'request_timeout', 'The request came too slowly.');
  }
  // Drop by drop is no way around it.
  const socket = await connect(url);
  const drip = setInterval(() => socket.write('X: y\r\n'), 20);
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n');
  const [dripped] = await readAnswers(socket);
  clearInterval(drip);
  t.equal(dripped?.status, 408);
  t.strictSame((await ask('GET', '/api/v1/links')).body, { items: [], next_cursor: null });
});

t.test('a connection that is not used is closed after its time', async (t) => {
  const { url } = await startHttp(t, { limits: { keepAliveTimeoutMs: 50, timeoutCheckMs: 20 } });
  const answers = await sendRaw(url, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  t.equal(answers.length, 1);
});

t.test('a client that hangs up in the middle of its headers is nobody to answer', async (t) => {
  const service = await startHttp(t);
  const socket = await connect(service.url);
  // Once the first is answered, the second half is with the server.
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HT');
  await once(socket, 'data');
  socket.resetAndDestroy();
  await once(socket, 'close');
  t.equal((await service.ask('GET', '/healthz')).status, 200);
  t.strictSame(
    service.log().filter(({ msg }) => msg === 'malformed request'),
    [],
  );
});

/** A new connection, and whether it is answered. */
async function open(t: Test, { url }: TestService): Promise<{ socket: net.Socket; isServed: boolean }> {
  const socket = await connect(url);
  t.teardown(() => socket.destroy());
  const isServed = await new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true));
    // A reset is one of the ways in which a server may end a connection.
    socket.on('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  });
  return { socket, isServed };
}

async function countDropped({ context }: TestService): Promise<number | undefined> {
  return (await context.metrics.connectionsDropped.get()).values[0]?.value;
}

t.test('one client may hold its share of the connections and no more', async (t) => {
  const service = await startService(t, { limits: { connectionsPerClientMax: 2 } });
  const first = await open(t, service);
  const others = [await open(t, service), await open(t, service), await open(t, service)];
  t.strictSame(
    [first, ...others].map(({ isServed }) => isServed),
    [true, true, false, false],
  );
  t.equal(await countDropped(service), 2);

  // As often as one goes another may come, and only one.
  let { socket } = first;
  for (let turn = 0; turn < 5; turn++) {
    socket.destroy();
    const next = await until('there is room for one more', async () => {
      const opened = await open(t, service);
      return opened.isServed && opened;
    });
    socket = next.socket;
    t.notOk((await open(t, service)).isServed);
  }
});

t.test('a trusted proxy may hold more', async (t) => {
  const service = await startService(t, {
    env: { TRUST_PROXY: '127.0.0.1' },
    limits: { connectionsPerClientMax: 2 },
  });
  for (let count = 0; count < 5; count++) t.ok((await open(t, service)).isServed);
  t.equal(await countDropped(service), 0);
});

t.test('those who are connected are counted', async (t) => {
  const { url, manage } = await startHttp(t);
  const count = async (): Promise<number> => {
    const { body } = await manage('GET', '/metrics');
    return Number(/^fleetlink_connections (\d+)$/m.exec(String(body))?.[1]);
  };
  const before = await count();
  t.equal(await count(), before, 'who asks on the management port does not count');
  const sockets = [await connect(url), await connect(url)];
  await until('both are counted', async () => (await count()) === before + 2);
  for (const socket of sockets) socket.destroy();
  await until('nobody is connected any more', async () => (await count()) === before);
});

t.test('connections beyond the limit are dropped and counted', async (t) => {
  const { url, manage, ask } = await startHttp(t, { limits: { connectionsMax: 3 } });
  await ask('GET', '/healthz');
  const sockets = [];
  for (let count = 0; count < 4; count++) sockets.push(await connect(url));
  await Promise.race(sockets.map((socket) => once(socket, 'close')));
  const { body } = await manage('GET', '/metrics');
  const [, dropped = '0'] = /^fleetlink_connections_dropped_total (\d+)$/m.exec(String(body)) ?? [];
  t.ok(Number(dropped) >= 1);
  for (const socket of sockets) socket.destroy();
});
