// What every answer has in common: its id, its log line, its trace; and what the log never holds.
import { EventEmitter, once } from 'node:events';
import t from 'tap';
import { makeKey, makeLink, startHttp } from '../support/http.ts';
import { connect, sendRaw } from '../support/raw-http.ts';
import { ADMIN_KEY, type TestService } from '../support/service.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TARGET = 'https://example.com/a';

function requestLines({ log }: Pick<TestService, 'log'>): Record<string, unknown>[] {
  return log().filter(({ msg }) => msg === 'request');
}

/** Resolves once the log has so many request lines: a line is written after its answer. */
async function untilLogged(
  service: Pick<TestService, 'log'>,
  count: number,
): Promise<Record<string, unknown>[]> {
  while (requestLines(service).length < count) await new Promise((resolve) => setImmediate(resolve));
  return requestLines(service);
}

t.test('a sane request id is echoed, by the lane, by routes and with errors', async (t) => {
  const { ask, manage } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  for (const id of ['a', 'abc-123_X.y:z', 'x'.repeat(128)]) {
    for (const path of ['/autumn', '/nothing', '/', '/healthz', '/a/b', '/api/v1/links', '/shorten']) {
      const { headers } = await ask('GET', path, { headers: { 'x-request-id': id } });
      t.equal(headers.get('x-request-id'), id, path);
    }
    const { headers } = await manage('GET', '/metrics', { headers: { 'x-request-id': id } });
    t.equal(headers.get('x-request-id'), id);
  }
});

t.test('an insane request id is replaced by a new one', async (t) => {
  const { ask, url } = await startHttp(t);
  for (const id of ['', 'x'.repeat(129), 'a b', 'a,b', 'a"b', '<a>', 'a/b', 'ä']) {
    const { headers } = await ask('GET', '/nothing', { headers: { 'x-request-id': id } });
    t.match(headers.get('x-request-id'), UUID, id);
  }
  const bytes = 'GET /nothing HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\r\nX-Request-ID: b\r\n\r\n';
  const [twice] = await sendRaw(url, bytes, { answers: 1 });
  t.match(twice?.headers.get('x-request-id'), UUID);
});

t.test('each request has one log line with exactly these fields', async (t) => {
  const service = await startHttp(t);
  const before = requestLines(service).length;
  await service.ask('GET', '/nothing?q=1', { headers: { 'x-request-id': 'id-1' } });
  const lines = await untilLogged(service, before + 1);
  const { duration_ms, time, trace_id, ...line } = lines.at(-1) ?? {};
  t.strictSame(line, {
    level: 'info',
    pid: process.pid,
    release: 'development',
    method: 'GET',
    path: '/nothing',
    route: '/{key}',
    status: 404,
    request_id: 'id-1',
    msg: 'request',
  });
  t.type(duration_ms, 'number');
  t.type(time, 'number');
  t.match(trace_id, /^[0-9a-f]{32}$/);
});

t.test('lines of requests are below the level warn', async (t) => {
  const service = await startHttp(t, { env: { LOG_LEVEL: 'warn' } });
  t.equal((await service.ask('GET', '/nothing')).status, 404);
  await service.stop();
  t.strictSame(requestLines(service), []);
});

t.test('the log names routes by their pattern', async (t) => {
  const service = await startHttp(t);
  await makeLink(service.ask, { key: 'autumn', url: TARGET });
  const from = (await untilLogged(service, 2)).length;
  const calls = [
    ['GET', '/autumn', '/{key}', 302],
    ['GET', '/', '/', 200],
    ['HEAD', '/healthz', '/healthz', 200],
    ['GET', '/api/v1/links/autumn', '/api/v1/links/{key}', 200],
    ['GET', '/api/v1/links/id:1/history', '/api/v1/links/{key}/history', 200],
    ['PUT', '/api/v1/links:batch', '/api/v1/links:batch', 405],
    ['OPTIONS', '/shorten', '/shorten', 204],
    ['GET', '/a/b', 'unmatched', 404],
    ['DELETE', '/api/v1/api-keys/1', '/api/v1/api-keys/{id}', 409],
  ] as const;
  for (const [method, path] of calls) await service.ask(method, path);
  const lines = await untilLogged(service, from + calls.length);
  t.strictSame(
    lines.slice(from).map(({ method, path, route, status }) => [method, path, route, status]),
    calls,
  );
});

t.test('a W3C trace is continued, and a malformed one is not', async (t) => {
  const service = await startHttp(t);
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const parents = {
    [`00-${trace}-00f067aa0ba902b7-01`]: true,
    [`cc-${trace}-00f067aa0ba902b7-01-what-the-future-will-be-like`]: true,
    [`ff-${trace}-00f067aa0ba902b7-01`]: false,
    [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`]: false,
    [`00-${trace}-${'0'.repeat(16)}-01`]: false,
    [`00-${trace.toUpperCase()}-00f067aa0ba902b7-01`]: false,
    [`00-${trace}-00f067aa0ba902b7`]: false,
    nonsense: false,
  };
  for (const [traceparent, isContinued] of Object.entries(parents)) {
    const from = requestLines(service).length;
    await service.ask('GET', '/nothing', { headers: { traceparent } });
    const lines = await untilLogged(service, from + 1);
    t.equal(lines.at(-1)?.trace_id === trace, isContinued, traceparent);
    t.match(lines.at(-1)?.trace_id, /^[0-9a-f]{32}$/);
  }
});

t.test('no secret and nothing of a query or a body ever stands in the log', async (t) => {
  const service = await startHttp(t, { env: { LOG_LEVEL: 'trace' } });
  const { ask, manage, url } = service;
  const secret = await makeKey(ask, ['links:read', 'links:write']);
  const body = { url: 'https://example.com/canary-body' };
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    const headers = {
      authorization: 'Bearer canary-bearer',
      'x-api-key': 'canary-header',
      cookie: 'canary-cookie',
    };
    await ask(method, '/api/v1/links/autumn?q=canary-query', {
      key: null,
      headers,
      ...(method === 'GET' ? {} : { body }),
    });
    await ask(method, '/api/v1/links/autumn?q=canary-query', {
      key: secret,
      ...(method === 'GET' ? {} : { body }),
    });
  }
  await ask('POST', '/shorten', { key: secret, body });
  await ask('POST', '/shorten', { key: secret, body: '{"canary-json":' });
  await ask('GET', '/nothing?canary-query');
  await ask('GET', '/api/v1/links', { key: null, headers: { authorization: 'Basic canary-basic' } });
  await manage('POST', '/drain?canary-query=1');
  await sendRaw(url, 'GET /canary-malformed HTTP/9\r\nX: canary-header\r\n\r\n');
  const text = JSON.stringify(service.log());
  for (const word of ['canary', ADMIN_KEY, secret]) t.notOk(text.includes(word), word.slice(0, 6));
  t.ok(requestLines(service).length > 10);
});

t.test('a client that leaves before its answer is logged with 499', async (t) => {
  const asked = new EventEmitter();
  const service = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      links: {
        ...store.links,
        lookup: () => new Promise((resolve) => asked.emit('lookup', () => resolve(null))),
      },
    }),
  });
  const lookup = once(asked, 'lookup');
  const socket = await connect(service.url);
  socket.write('GET /autumn HTTP/1.1\r\nHost: x\r\n\r\n');
  const [answer] = await lookup;
  socket.resetAndDestroy();
  const lines = await untilLogged(service, 2);
  t.match(lines.at(-1), { route: '/{key}', status: 499 });
  // The answer that comes too late goes nowhere, and nothing breaks.
  answer();
  t.equal((await service.ask('GET', '/healthz')).status, 200);
});
