// GET and HEAD /:key, the redirect lane.
import t from 'tap';
import { type HttpService, makeLink, problem, startHttp } from '../support/http.ts';
import { sendRaw } from '../support/raw-http.ts';

const TARGET = 'https://example.com/a?b=c#d';

/** All headers of an answer but Date, and the connection's own. */
function headersOf(headers: Headers): Record<string, string> {
  const { date: _, connection: __, 'keep-alive': ___, ...rest } = Object.fromEntries(headers);
  return rest;
}

t.test('a link redirects with 302, which nobody may store', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, headers, body } = await ask('GET', '/autumn', {
    key: null,
    headers: { 'x-request-id': 'id-1' },
  });
  t.equal(status, 302);
  t.equal(body, null);
  t.strictSame(headersOf(headers), {
    'cache-control': 'private, no-store',
    'content-length': '0',
    location: TARGET,
    'x-content-type-options': 'nosniff',
    'x-request-id': 'id-1',
  });
});

t.test('a link redirects with the status that it says', async (t) => {
  const { ask } = await startHttp(t);
  for (const redirect_status of [301, 302, 307, 308]) {
    await makeLink(ask, { key: `to-${redirect_status}`, url: TARGET, redirect_status });
    const { status, headers } = await ask('GET', `/to-${redirect_status}`, { key: null });
    t.equal(status, redirect_status);
    t.equal(headers.get('location'), TARGET);
  }
});

t.test('HEAD has the headers of GET', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await makeLink(ask, { key: 'off', url: TARGET, status: 'disabled' });
  for (const path of ['/autumn', '/off', '/nothing', '/', '/healthz', '/a/b', '/api/v1/links']) {
    const options = { headers: { 'x-request-id': 'id-1' } };
    const get = await ask('GET', path, options);
    const head = await ask('HEAD', path, options);
    t.equal(head.status, get.status, path);
    t.equal(head.body, null, path);
    t.strictSame(headersOf(head.headers), headersOf(get.headers), path);
  }
});

t.test('a query is ignored', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  for (const query of ['?', '?x=1', '?x=1&x=2', '?%zz', `?${'x'.repeat(9000)}`]) {
    const { status, headers } = await ask('GET', `/autumn${query}`, { key: null });
    t.equal(status, 302, query.slice(0, 20));
    t.equal(headers.get('location'), TARGET);
  }
});

t.test('a key is found with what a sentence puts behind it, and however it is spelled', async (t) => {
  const { ask, url } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const tails = ['/', '.', ',', ')', '!', '?', '%3F', '").', '%E2%80%9D', '%C2%BB.', '/?x=1', '.?x=1'];
  for (const path of [...tails.map((tail) => `/autumn${tail}`), '/%61utumn', '/aut%75mn%2e']) {
    // The document has only the path of the key itself.
    const { status, headers } = await fetch(`${url}${path}`, { redirect: 'manual' });
    t.same([status, headers.get('location')], [302, TARGET], path);
  }
});

t.test('an unknown key is not found', async (t) => {
  const { ask } = await startHttp(t);
  const { status, headers, body } = await ask('GET', '/nothing', { key: null });
  t.equal(status, 404);
  t.strictSame(body, problem('not_found', 'There is no link "nothing" here. Check how it is spelled.'));
  t.equal(headers.get('content-type'), 'application/problem+json');
  t.equal(headers.get('vary'), 'Accept');
});

t.test('a key is looked up in its case', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  t.equal((await ask('GET', '/Autumn', { key: null })).status, 404);
});

t.test('a disabled, a deleted and an expired link are gone, each for its own reason', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'off', url: TARGET, status: 'disabled' });
  await makeLink(ask, { key: 'deleted', url: TARGET });
  await ask('DELETE', '/api/v1/links/deleted');
  await makeLink(ask, { key: 'late', url: TARGET, expires_at: '2026-01-31T13:00:00.000+01:00' });
  await makeLink(ask, { key: 'soon', url: TARGET, expires_at: '2026-01-31T12:00:01Z' });
  const sentences = {
    off: 'This link is switched off.',
    deleted: 'This link was deleted.',
    late: 'This link has expired.',
  };
  for (const [key, sentence] of Object.entries(sentences)) {
    const { status, body } = await ask('GET', `/${key}`, { key: null });
    t.equal(status, 410, key);
    t.strictSame(body, problem('gone', sentence));
  }
  t.equal((await ask('GET', '/soon', { key: null })).status, 302);
  await clock.advance(999);
  t.equal((await ask('GET', '/soon', { key: null })).status, 302);
  await clock.advance(1);
  t.equal((await ask('GET', '/soon', { key: null })).status, 410);
});

t.test('a change of the link shows at once', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('PATCH', '/api/v1/links/autumn', { body: { url: 'https://example.org/', redirect_status: 307 } });
  const { status, headers } = await ask('GET', '/autumn', { key: null });
  t.equal(status, 307);
  t.equal(headers.get('location'), 'https://example.org/');
});

t.test('a browser gets errors as a page, everybody else as JSON', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'off', url: TARGET, status: 'disabled' });
  const page = await ask('GET', '/off', {
    key: null,
    headers: { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' },
  });
  t.equal(page.status, 410);
  t.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  t.match(
    page.body,
    /<title>410 Gone<\/title>[\s\S]*<h1>Gone<\/h1><p>This link is switched off\.<\/p><small>410<\/small>/,
  );
  const missing = await ask('GET', '/nothing', { key: null, headers: { accept: 'text/html' } });
  t.equal(missing.status, 404);
  t.match(missing.body, /<p>There is no link &#34;nothing&#34; here\. Check how it is spelled\.<\/p>/);
  for (const accept of [
    'application/json',
    '*/*',
    'application/json, text/html',
    'image/png',
    'text/html;q=0.5, */*',
  ]) {
    const { headers } = await ask('GET', '/off', { key: null, headers: { accept } });
    t.equal(headers.get('content-type'), 'application/problem+json', accept);
  }
});

t.test('what an address holds is escaped on a page', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('GET', `/a/<script>alert('1')&"</script>`, {
    key: null,
    headers: { accept: 'text/html' },
  });
  t.equal(status, 404);
  t.notMatch(body, /<script>/);
});

t.test('the API answers a browser in JSON', async (t) => {
  const { ask } = await startHttp(t);
  const { status, headers } = await ask('GET', '/api/v1/links/nothing', { headers: { accept: 'text/html' } });
  t.equal(status, 404);
  t.equal(headers.get('content-type'), 'application/problem+json');
  t.equal(headers.get('vary'), null);
});

t.test('other methods on a key are refused with the ones that it has', async (t) => {
  const { ask, url } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const { status, headers, body } = await ask(method, '/autumn');
    t.equal(status, 405, method);
    t.equal(headers.get('allow'), 'GET, HEAD');
    t.strictSame(
      body,
      problem(
        'method_not_allowed',
        `A short link has only GET and HEAD, not ${method}. Links are managed under /api/v1/links.`,
      ),
    );
  }
  const [trace] = await sendRaw(url, 'TRACE /autumn HTTP/1.1\r\nHost: x\r\n\r\n', { answers: 1 });
  t.equal(trace?.status, 405);
});

t.test('reserved words and paths that are no key are never looked up', async (t) => {
  const asked: string[] = [];
  const { ask } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      links: {
        ...store.links,
        lookup: (key) => {
          asked.push(key);
          return store.links.lookup(key);
        },
      },
    }),
  });
  const words =
    'api dashboard shorten healthz readyz metrics drain docs config jobs admin login logout static assets report ' +
    'favicon.ico robots.txt .well-known sitemap.xml';
  for (const word of words.split(' ')) {
    for (const path of [`/${word}`, `/${word.toUpperCase()}`]) {
      const { status } = await ask('GET', path, { key: null });
      const answers = ['/healthz', '/readyz'].includes(path) ? 200 : 404;
      t.equal(status, path === '/shorten' ? 405 : answers, path);
    }
  }
  for (const path of [
    '/',
    '//',
    '//autumn',
    '/a/b',
    '/autumn//x',
    '/autumn....',
    '/aut.umn',
    '/%zz',
    '/autumn%',
    '/api/',
    `/${'k'.repeat(65)}`,
    '/ä',
  ]) {
    const { status } = await ask('GET', path, { key: null });
    t.equal(status, path === '/' ? 200 : 404, path);
  }
  t.strictSame(asked, []);
  await ask('GET', '/autumn', { key: null });
  t.strictSame(asked, ['autumn']);
});

t.test('a store that answers later is waited for', async (t) => {
  const { ask } = await startWithLookup(t, (lookup) => async (key) => lookup(key));
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const found = await ask('GET', '/autumn', { key: null });
  t.equal(found.status, 302);
  t.equal(found.headers.get('location'), TARGET);
  const missing = await ask('GET', '/nothing', { key: null });
  t.strictSame(
    missing.body,
    problem('not_found', 'There is no link "nothing" here. Check how it is spelled.'),
  );
});

type Lookup = HttpService['context']['store']['links']['lookup'];

function startWithLookup(t: Parameters<typeof startHttp>[0], wrap: (lookup: Lookup) => Lookup) {
  return startHttp(t, {
    wrapStore: (store) => ({ ...store, links: { ...store.links, lookup: wrap(store.links.lookup) } }),
  });
}
