// Probes on both ports; metrics and drain on the management port alone.
import t from 'tap';
import { invalidFields, makeLink, problem, startHttp, timeAfter } from '../support/http.ts';
import { sendRaw } from '../support/raw-http.ts';

const IDENTITY = { release: '2026-01-31.1', pid: process.pid, nonce: 'nonce-1' };
const env = { RELEASE_ID: '2026-01-31.1', DEPLOY_NONCE: 'nonce-1' };

t.test('both ports say that the process is alive and ready, and which one it is', async (t) => {
  const { ask, manage } = await startHttp(t, { env });
  for (const call of [ask, manage]) {
    const health = await call('GET', '/healthz', { key: null });
    t.equal(health.status, 200);
    t.strictSame(health.body, { status: 'alive', ...IDENTITY });
    const readiness = await call('GET', '/readyz', { key: null });
    t.equal(readiness.status, 200);
    t.strictSame(readiness.body, { status: 'ready', reasons: [], ...IDENTITY });
    t.equal(readiness.headers.get('cache-control'), 'no-store');
  }
});

t.test('a process without a nonce says null', async (t) => {
  const { ask } = await startHttp(t);
  t.match((await ask('GET', '/readyz')).body, { release: 'development', nonce: null });
});

t.test('a drain turns readiness off and nothing else, until it is taken back', async (t) => {
  const { ask, manage } = await startHttp(t, { env });
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  const { status, body } = await manage('POST', '/drain', { key: null });
  t.equal(status, 200);
  t.strictSame(body, { draining_until: timeAfter(3600_000), release: IDENTITY.release, pid: process.pid });
  for (const call of [ask, manage]) {
    const readiness = await call('GET', '/readyz');
    t.equal(readiness.status, 503);
    t.strictSame(readiness.body, { status: 'draining', reasons: ['drain'], ...IDENTITY });
    t.equal((await call('GET', '/healthz')).status, 200);
  }
  t.equal((await ask('GET', '/autumn')).status, 302);
  t.equal((await ask('POST', '/shorten', { body: { url: 'https://example.com/' } })).status, 201);
  const ended = await manage('DELETE', '/drain');
  t.equal(ended.status, 200);
  t.strictSame(ended.body, { draining_until: null, release: IDENTITY.release, pid: process.pid });
  t.equal((await ask('GET', '/readyz')).status, 200);
  t.equal((await manage('DELETE', '/drain')).status, 200, 'and may be ended again');
});

t.test('a drain ends by itself', async (t) => {
  const { manage, clock } = await startHttp(t);
  const { body } = await manage('POST', '/drain?ttl_seconds=60');
  t.match(body, { draining_until: timeAfter(60_000) });
  await clock.advance(59_999);
  t.equal((await manage('GET', '/readyz')).status, 503);
  await clock.advance(1);
  t.equal((await manage('GET', '/readyz')).status, 200);
});

t.test('a drain asked for again lasts as the last one said', async (t) => {
  const { manage, clock } = await startHttp(t);
  await manage('POST', '/drain?ttl_seconds=86400');
  await manage('POST', '/drain?ttl_seconds=1');
  await clock.advance(1000);
  t.equal((await manage('GET', '/readyz')).status, 200);
});

t.test('a drain survives a restart', async (t) => {
  const first = await startHttp(t);
  await first.manage('POST', '/drain');
  await first.stop();
  const second = await startHttp(t, { dataDir: first.dataDir });
  t.equal((await second.ask('GET', '/readyz')).status, 503);
});

t.test('a web page cannot drain the host', async (t) => {
  const { manage } = await startHttp(t);
  for (const method of ['POST', 'DELETE']) {
    const { status, body } = await manage(method, '/drain', { headers: { origin: 'https://evil.example' } });
    t.equal(status, 403);
    t.strictSame(body, problem('forbidden', 'The management port does not take requests from web pages.'));
  }
  t.equal((await manage('GET', '/readyz')).status, 200);
});

t.test('a drain for too short or too long is refused', async (t) => {
  const { manage } = await startHttp(t);
  const number = 'expected a whole number from 1 to 86400';
  const queries = {
    'ttl_seconds=0': { ttl_seconds: number },
    'ttl_seconds=86401': { ttl_seconds: number },
    'ttl_seconds=1h': { ttl_seconds: number },
    'ttl_seconds=1000000': { ttl_seconds: number },
    'ttl=5': { ttl: 'is not a known field' },
  };
  for (const [query, faults] of Object.entries(queries)) {
    const { status, body } = await manage('POST', `/drain?${query}`);
    t.equal(status, 400, query);
    t.match((body as { errors: unknown }).errors, invalidFields(faults).errors as object);
  }
  t.equal((await manage('GET', '/readyz')).status, 200);
});

t.test('a process that waits before it stops is draining, whatever the host is', async (t) => {
  const { ask } = await startHttp(t, { isDraining: () => true });
  t.match((await ask('GET', '/readyz')).body, { status: 'draining', reasons: ['drain'] });
});

t.test('a store that cannot be read makes the process unready, and it stays alive', async (t) => {
  const { ask } = await startHttp(t, {
    env,
    wrapStore: (store) => ({ ...store, probe: () => Promise.reject(new Error('the disk is gone')) }),
  });
  const { status, body } = await ask('GET', '/readyz');
  t.equal(status, 503);
  t.strictSame(body, { status: 'unready', reasons: ['links_db'], ...IDENTITY });
  t.equal((await ask('GET', '/healthz')).status, 200);
});

t.test('metrics and drain are on the management port alone, links on the public one', async (t) => {
  const { ask, manage } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  const nothing = (path: string) => problem('not_found', `There is nothing at ${path}.`);
  for (const [method, path] of [
    ['GET', '/metrics'],
    ['POST', '/drain'],
    ['DELETE', '/drain'],
  ] as const) {
    const answer = await ask(method, path);
    t.equal(answer.status, 404, `${method} ${path}`);
    t.strictSame(answer.body, nothing(path));
  }
  for (const path of ['/', '/autumn', '/api/v1/links', '/api/openapi.json', '/shorten']) {
    const answer = await manage('GET', path);
    t.equal(answer.status, 404, path);
    t.strictSame(answer.body, nothing(path));
  }
});

t.test(
  'metrics count requests by route, method and status, and name nothing that a client chose',
  async (t) => {
    const { ask, manage, url } = await startHttp(t, { env });
    await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
    await ask('GET', '/autumn');
    await ask('GET', '/canary-1');
    await ask('GET', '/canary-2/canary-3');
    await sendRaw(url, 'PROPFIND /canary-4/x HTTP/1.1\r\nHost: x\r\n\r\n', { answers: 1 });
    await sendRaw(url, 'canary-5\r\n\r\n');
    const { status, headers, body } = await manage('GET', '/metrics');
    t.equal(status, 200);
    t.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    const lines = String(body).split('\n');
    t.ok(lines.includes('fleetlink_link_lookups_total{from="memory"} 0'));
    t.ok(lines.includes('fleetlink_link_lookups_total{from="database"} 1'));
    t.strictSame(lines.filter((line) => line.startsWith('http_requests_total{')).sort(), [
      'http_requests_total{route="/api/openapi.json",method="GET",status="200"} 1',
      'http_requests_total{route="/api/v1/links",method="POST",status="201"} 1',
      'http_requests_total{route="/{key}",method="GET",status="302"} 1',
      'http_requests_total{route="/{key}",method="GET",status="404"} 1',
      'http_requests_total{route="unmatched",method="GET",status="404"} 1',
      'http_requests_total{route="unmatched",method="other",status="400"} 1',
      'http_requests_total{route="unmatched",method="other",status="404"} 1',
    ]);
    t.ok(lines.includes('fleetlink_redirect_duration_seconds_count 1'));
    t.ok(lines.includes('http_request_duration_seconds_count{route="/{key}"} 2'));
    t.ok(lines.some((line) => line.startsWith('fleetlink_redirect_duration_seconds_bucket{le="0.2"}')));
    t.ok(lines.includes(`fleetlink_process_info{release="2026-01-31.1",pid="${process.pid}"} 1`));
    t.notMatch(body, /canary/);
  },
);
