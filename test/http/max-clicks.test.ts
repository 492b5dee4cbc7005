// How often a link may be followed: through the API, and when it is followed.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { OWN_HEADER } from '../../app/clicks/classifier.ts';
import { signOwn } from '../../app/clicks/own-requests.ts';
import {
  type Ask,
  type HttpService,
  linkBody,
  makeLink,
  problem,
  START,
  startHttp,
} from '../support/http.ts';

const TARGET = 'https://example.com/a?b=c#d';
const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const SPENT = problem('gone', 'This link has been followed as often as it may be.');
const UNKNOWN = problem(
  'unavailable',
  'How often this link was followed is not known any more. Its owner has to set max_clicks anew.',
);
const FAILING = problem('unavailable', 'This link counts its clicks, and they cannot be counted just now.');

/** The statuses of so many GETs, one after the other. */
async function follow(ask: Ask, key: string, times: number): Promise<number[]> {
  const statuses = [];
  for (let n = 0; n < times; n++) statuses.push((await ask('GET', `/${key}`, { key: null })).status);
  return statuses;
}

function headersOf(headers: Headers): Record<string, string> {
  const { date: _, connection: __, 'keep-alive': ___, ...rest } = Object.fromEntries(headers);
  return rest;
}

t.test('a link is followed as often as it may be, and is gone then', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET, max_clicks: 2 });
  t.strictSame(link, linkBody({ key: 'autumn', url: TARGET, max_clicks: 2 }));
  t.same(await follow(ask, 'autumn', 4), [302, 302, 410, 410]);
  const { body, headers } = await ask('GET', '/autumn', { key: null });
  t.strictSame(body, SPENT);
  t.equal(headers.get('cache-control'), 'no-store');
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, { ...link, max_clicks_used: 2 });
  t.match((await ask('GET', '/api/v1/links')).body, { items: [{ clicks: 0, max_clicks_used: 2 }] });
});

t.test('two that follow the last click at once are not both served', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'once', url: TARGET, max_clicks: 1 });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask('GET', '/once', { key: null })));
  t.same(answers.map(({ status }) => status).toSorted(), [302, ...Array(49).fill(410)]);
});

t.test('whoever follows uses one up: a person, the same again, a bot, a preview, the operator', async (t) => {
  const secret = 'a-secret-of-the-operator-0123456789';
  const { ask, manage } = await startHttp(t, { env: { SYNTHETIC_SECRET: secret } });
  const visitors = [
    { 'user-agent': BROWSER },
    { 'user-agent': BROWSER },
    { 'user-agent': 'Googlebot/2.1' },
    { 'user-agent': 'WhatsApp/2.0' },
    { 'user-agent': BROWSER, 'sec-purpose': 'prefetch' },
    { [OWN_HEADER]: signOwn(secret, Date.parse(START)) },
  ];
  await makeLink(ask, { key: 'all', url: TARGET, max_clicks: visitors.length });
  for (const headers of visitors) {
    t.equal((await ask('GET', '/all', { key: null, headers })).status, 302, JSON.stringify(headers));
  }
  for (const headers of visitors) {
    t.equal((await ask('GET', '/all', { key: null, headers })).status, 410, JSON.stringify(headers));
  }
  const { body: metrics } = await manage('GET', '/metrics');
  t.match(metrics, /fleetlink_clicks_served_total(?:\{[^}]*\})? 6\n/, 'what is refused is not served');
});

t.test('HEAD is told what GET would be, and uses nothing up', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'once', url: TARGET, max_clicks: 1 });
  const options = { key: null, headers: { 'x-request-id': 'id-1' } };
  const fresh = await ask('HEAD', '/once', options);
  t.equal((await ask('HEAD', '/once', options)).status, 302);
  const followed = await ask('GET', '/once', options);
  t.equal(followed.status, 302);
  t.equal(fresh.status, 302);
  t.strictSame(headersOf(fresh.headers), headersOf(followed.headers));
  const spent = await ask('HEAD', '/once', options);
  const gone = await ask('GET', '/once', options);
  t.same([spent.status, gone.status, spent.body], [410, 410, null]);
  t.strictSame(headersOf(spent.headers), headersOf(gone.headers));
});

t.test('what a link is otherwise comes first, and uses nothing up', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'off', url: TARGET, max_clicks: 1, status: 'disabled' });
  t.same((await ask('GET', '/off', { key: null })).body, problem('gone', 'This link is switched off.'));
  await ask('PATCH', '/api/v1/links/off', {
    body: { status: 'enabled', expires_at: '2026-01-31T12:00:01Z' },
  });
  await clock.advance(1000);
  t.same((await ask('GET', '/off', { key: null })).body, problem('gone', 'This link has expired.'));
  await ask('PATCH', '/api/v1/links/off', { body: { expires_at: null } });
  t.same(await follow(ask, 'off', 2), [302, 410]);
});

t.test('another limit keeps what is used, null lifts it, and other changes leave it', async (t) => {
  const { ask } = await startHttp(t);
  const patch = (body: object) => ask('PATCH', '/api/v1/links/autumn', { body });
  await makeLink(ask, { key: 'autumn', url: TARGET, max_clicks: 5 });
  t.same(await follow(ask, 'autumn', 6), [302, 302, 302, 302, 302, 410]);
  await patch({ max_clicks: 7 });
  t.same(await follow(ask, 'autumn', 3), [302, 302, 410]);
  await patch({ title: 'Still used up', url: 'https://example.org/' });
  t.same(await follow(ask, 'autumn', 1), [410]);
  await patch({ max_clicks: 7 });
  t.same(await follow(ask, 'autumn', 1), [410], 'naming the number again gives nothing away');
  await patch({ max_clicks: 3 });
  t.same(await follow(ask, 'autumn', 1), [410]);
  await patch({ max_clicks: null });
  t.same(await follow(ask, 'autumn', 3), [302, 302, 302]);
  await patch({ max_clicks: 8 });
  t.same(await follow(ask, 'autumn', 2), [302, 410], 'what was followed without a limit used nothing of it');
});

t.test('PATCH that names a limit makes a version, also of the number that it is; PUT does not', async (t) => {
  const { ask } = await startHttp(t);
  const body = { url: TARGET, max_clicks: 5 };
  const put = await ask('PUT', '/api/v1/links/autumn', { body });
  t.strictSame(put.body, linkBody({ key: 'autumn', ...body }));
  const again = await ask('PUT', '/api/v1/links/autumn', { body });
  t.strictSame([again.status, again.body], [200, put.body]);
  const named = await ask('PATCH', '/api/v1/links/autumn', { body: { max_clicks: 5 } });
  t.strictSame(named.body, linkBody({ key: 'autumn', ...body, version: 2, seq: 2 }));
  await ask('PATCH', '/api/v1/links/autumn', { body: { max_clicks: null } });
  const none = await ask('PATCH', '/api/v1/links/autumn', { body: { max_clicks: null } });
  t.strictSame(none.body, linkBody({ key: 'autumn', url: TARGET, version: 3, seq: 3 }));
  await ask('PATCH', '/api/v1/links/autumn', { body: { max_clicks: 6 } });
  const bare = await ask('PUT', '/api/v1/links/autumn', { body: { url: TARGET } });
  t.strictSame(bare.body, linkBody({ key: 'autumn', url: TARGET, version: 5, seq: 5 }), 'PUT says it all');
});

t.test('history, events and revert know the limit, and what is used stays used', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET, max_clicks: 2 });
  t.same(await follow(ask, 'autumn', 3), [302, 302, 410]);
  await ask('PATCH', '/api/v1/links/autumn', { body: { max_clicks: null } });
  const history = (await ask('GET', '/api/v1/links/autumn/history')).body as {
    items: { before: { max_clicks: unknown } | null; after: { max_clicks: unknown } }[];
  };
  t.same(
    history.items.map(({ before, after }) => [before?.max_clicks, after.max_clicks]),
    [
      [2, null],
      [undefined, 2],
    ],
  );
  const events = (await ask('GET', '/api/v1/events?after=0')).body as {
    items: { link: { max_clicks: unknown } }[];
  };
  t.same(
    events.items.map(({ link }) => link.max_clicks),
    [2, null],
  );
  const reverted = await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 1 } });
  t.match(reverted.body, { max_clicks: 2, version: 3 });
  t.same(await follow(ask, 'autumn', 1), [410]);
  await ask('DELETE', '/api/v1/links/autumn');
  await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 3 } });
  t.same(await follow(ask, 'autumn', 1), [410], 'nor does it come back with a deleted link');
});

t.test('a new link under the key of an old one has a limit of its own', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET, max_clicks: 1 });
  await makeLink(ask, { key: 'winter', url: TARGET, max_clicks: 1 });
  t.same(await follow(ask, 'autumn', 2), [302, 410]);
  t.same(await follow(ask, 'winter', 2), [302, 410]);
  await ask('DELETE', '/api/v1/links/autumn');
  await ask('DELETE', '/api/v1/links/winter?purge=true');
  await clock.advance(30 * 24 * 60 * 60 * 1000);
  for (const key of ['autumn', 'winter']) {
    await makeLink(ask, { key, url: TARGET, max_clicks: 1 });
    t.same(await follow(ask, key, 2), [302, 410]);
  }
});

t.test('a batch makes links with limits', async (t) => {
  const { ask } = await startHttp(t);
  const links = [
    { key: 'one', url: TARGET, max_clicks: 1 },
    { key: 'any', url: TARGET, max_clicks: null },
  ];
  const { status } = await ask('POST', '/api/v1/links:batch', { body: { links } });
  t.equal(status, 201);
  t.same(await follow(ask, 'one', 2), [302, 410]);
  t.same(await follow(ask, 'any', 2), [302, 302]);
});

t.test('where keys follow from the target, a link with a limit is nobody else’s', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_STRATEGY: 'hash' } });
  const make = (body: object) => ask('POST', '/api/v1/links', { body: { url: TARGET, ...body } });
  const first = await make({ max_clicks: 1 });
  const second = await make({ max_clicks: 1 });
  t.same([first.status, second.status], [201, 201]);
  const keys = [first, second].map(({ body }) => (body as { key: string }).key);
  for (const key of keys) t.same(await follow(ask, key, 2), [302, 410]);
  t.same([(await make({})).status, (await make({})).status], [201, 200], 'without one it is shared');
});

/** Takes clicks.db away from under the service, which makes it anew once it has seen that. */
async function loseClicks({ ask, dataDir, clock }: HttpService): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `clicks.db${suffix}`));
  await clock.advance(1000);
  await ask('GET', '/plain', { key: null });
  while (await isFailing(ask)) await clock.advance(100);
}

async function isFailing(ask: Ask): Promise<boolean> {
  const { body } = await ask('GET', '/readyz', { key: null });
  return (body as { reasons: unknown[] }).reasons.length > 0;
}

t.test('while clicks cannot be stored a link with a limit waits, and every other goes on', async (t) => {
  let isFull = false;
  const { ask, clock } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      clicks: {
        ...store.clicks,
        journal: {
          ...store.clicks.journal,
          append(entries) {
            if (isFull) throw new Error('The disk is full.');
            return store.clicks.journal.append(entries);
          },
        },
      },
    }),
  });
  await makeLink(ask, { key: 'plain', url: TARGET });
  await makeLink(ask, { key: 'twice', url: TARGET, max_clicks: 2 });
  t.same(await follow(ask, 'twice', 1), [302]);
  isFull = true;
  t.same(await follow(ask, 'plain', 2), [302, 302]);
  for (const method of ['GET', 'HEAD']) {
    const { status, headers, body } = await ask(method, '/twice', { key: null });
    t.same([status, headers.get('retry-after')], [503, '1']);
    t.same(body, method === 'GET' ? FAILING : null);
  }
  isFull = false;
  await clock.advance(100);
  t.same(await follow(ask, 'twice', 2), [302, 410], 'nothing was used meanwhile');
});

t.test('once clicks.db is lost a link with a limit waits for whoever knows what remains', async (t) => {
  const service = await startHttp(t);
  const { ask } = service;
  await makeLink(ask, { key: 'plain', url: TARGET });
  for (const key of ['patched', 'changed', 'lifted'])
    await makeLink(ask, { key, url: TARGET, max_clicks: 5 });
  t.same(await follow(ask, 'patched', 3), [302, 302, 302]);
  await loseClicks(service);

  t.same(await follow(ask, 'plain', 1), [302]);
  for (const key of ['patched', 'changed', 'lifted']) {
    const { status, headers, body } = await ask('GET', `/${key}`, { key: null });
    t.same([status, headers.get('retry-after'), body], [503, null, UNKNOWN]);
    t.equal((await ask('HEAD', `/${key}`, { key: null })).status, 503);
  }
  await ask('PATCH', '/api/v1/links/patched', { body: { title: 'Nothing about clicks' } });
  await ask('PUT', '/api/v1/links/changed', { body: { url: TARGET, max_clicks: 5 } });
  for (const key of ['patched', 'changed']) t.same(await follow(ask, key, 1), [503]);

  await ask('PATCH', '/api/v1/links/patched', { body: { max_clicks: 5 } });
  t.same(await follow(ask, 'patched', 6), [302, 302, 302, 302, 302, 410], 'the number is what remains');
  await ask('PUT', '/api/v1/links/changed', { body: { url: TARGET, max_clicks: 2 } });
  t.same(await follow(ask, 'changed', 3), [302, 302, 410]);
  await ask('PATCH', '/api/v1/links/lifted', { body: { max_clicks: null } });
  t.same(await follow(ask, 'lifted', 2), [302, 302]);
  await makeLink(ask, { key: 'later', url: TARGET, max_clicks: 1 });
  t.same(await follow(ask, 'later', 2), [302, 410], 'a later limit knows nothing of it');
});
