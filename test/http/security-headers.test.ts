// Security headers, and CORS.
import { createHash } from 'node:crypto';
import t from 'tap';
import { makeLink, startHttp } from '../support/http.ts';

/** All headers but those that differ from request to request. */
function lastingHeaders(headers: Headers): Record<string, string> {
  const {
    date: _,
    connection: __,
    'keep-alive': ___,
    'x-request-id': ____,
    ...rest
  } = Object.fromEntries(headers);
  return rest;
}

function styleHash(page: unknown): string {
  const style = /<style>([\s\S]*)<\/style>/.exec(String(page))?.[1] ?? '';
  return createHash('sha256').update(style).digest('base64');
}

const SECURITY = {
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};

t.test(
  'every answer has the same security headers, and the style of a page is allowed by its hash',
  async (t) => {
    const { ask, manage } = await startHttp(t);
    const home = await ask('GET', '/', { key: null });
    t.equal(home.status, 200);
    const policy =
      `default-src 'none';style-src 'self' 'sha256-${styleHash(home.body)}';img-src 'self' data:;` +
      "base-uri 'none';form-action 'self';frame-ancestors 'none'";
    const expected = { ...SECURITY, 'content-security-policy': policy };
    t.strictSame(lastingHeaders(home.headers), {
      ...expected,
      'cache-control': 'no-store',
      'content-length': String(Buffer.byteLength(String(home.body))),
      'content-type': 'text/html; charset=utf-8',
    });
    const page = await ask('GET', '/nothing', { headers: { accept: 'text/html' } });
    t.equal(styleHash(page.body), styleHash(home.body));
    const answers = [
      page,
      await ask('GET', '/nothing'),
      await ask('GET', '/api/v1/links'),
      await ask('GET', '/api/v1/links', { key: null }),
      await ask('OPTIONS', '/shorten'),
      await ask('GET', '/nowhere/at/all'),
      await manage('GET', '/healthz'),
      await manage('GET', '/nothing'),
    ];
    for (const { headers } of answers) t.match(lastingHeaders(headers), expected);
    t.notMatch(policy, /unsafe/);
    t.equal(home.headers.get('x-powered-by'), null);
  },
);

t.test('browsers are held to https where people reach the service over it, and only there', async (t) => {
  const plain = await startHttp(t);
  const secure = await startHttp(t, { env: { BASE_URL: 'https://sho.rt' } });
  for (const { ask } of [plain, secure]) await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  for (const path of ['/', '/autumn', '/nothing', '/api/v1/links']) {
    const name = 'strict-transport-security';
    t.equal((await plain.ask('GET', path)).headers.get(name), null, path);
    t.equal((await secure.ask('GET', path)).headers.get(name), 'max-age=31536000', path);
  }
});

t.test('a page runs no script and loads nothing', async (t) => {
  const { ask } = await startHttp(t);
  const { body } = await ask('GET', '/');
  t.notMatch(body, /<script|<link|<img|style="| on\w+=/);
});

t.test('the start page shows a line that works when pasted', async (t) => {
  const open = await startHttp(t);
  const line = (auth: string) =>
    `<pre>curl -sS http://sho.rt/shorten${auth} -H &#39;Content-Type: application/json&#39; -d ` +
    '&#39;{&#34;url&#34;:&#34;https://example.com/a/long/path&#34;}&#39;</pre>';
  t.ok(String((await open.ask('GET', '/')).body).includes(line('')));
  const closed = await startHttp(t, { env: { ANONYMOUS_SHORTEN: 'false' } });
  const page = String((await closed.ask('GET', '/')).body);
  t.ok(page.includes(line(' -H &#34;Authorization: Bearer $API_KEY&#34;')));
});

const ORIGIN = 'https://app.example';

t.test('without CORS_ORIGINS no page of another origin may read an answer', async (t) => {
  const { ask } = await startHttp(t);
  for (const method of ['GET', 'OPTIONS']) {
    const { headers } = await ask(method, '/api/v1/links', {
      headers: { origin: ORIGIN, 'access-control-request-method': 'POST' },
    });
    t.strictSame(
      [...headers.keys()].filter((name) => name.startsWith('access-control-')),
      [],
    );
  }
});

t.test('with CORS_ORIGINS pages of these origins may call and read', async (t) => {
  const { ask, manage } = await startHttp(t, { env: { CORS_ORIGINS: `${ORIGIN}, https://other.example` } });
  const preflight = await ask('OPTIONS', '/api/v1/links', {
    key: null,
    headers: {
      origin: ORIGIN,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    },
  });
  t.equal(preflight.status, 204);
  t.match(Object.fromEntries(preflight.headers), {
    'access-control-allow-origin': ORIGIN,
    'access-control-allow-methods': 'GET,HEAD,PUT,PATCH,POST,DELETE',
    'access-control-allow-headers': 'authorization, content-type',
    'access-control-max-age': '600',
    vary: 'Origin, Access-Control-Request-Headers',
  });
  t.equal(preflight.headers.get('access-control-allow-credentials'), null);
  for (const path of ['/api/v1/links', '/shorten', '/nowhere/at/all']) {
    const { headers } = await ask('GET', path, { headers: { origin: ORIGIN } });
    t.equal(headers.get('access-control-allow-origin'), ORIGIN, path);
    t.equal(headers.get('access-control-expose-headers'), 'ETag,Location,Retry-After,X-Request-ID');
    t.match(headers.get('vary'), /^Origin/);
  }
  const stranger = await ask('GET', '/api/v1/links', { headers: { origin: 'https://evil.example' } });
  t.equal(stranger.status, 200);
  t.equal(stranger.headers.get('access-control-allow-origin'), null);
  const management = await manage('GET', '/healthz', { headers: { origin: ORIGIN } });
  t.equal(management.headers.get('access-control-allow-origin'), null);
});
