// What becomes of a click, by real requests: the reason it counts under, what is stored of it and what is not, and the ledger.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { signOwn } from '../../app/clicks/own-requests.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import { lockClicks, queryClicks, readClicks } from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type HttpService, makeLink, startHttp } from '../support/http.ts';
import { propertyRuns } from '../support/property.ts';
import { connect, type RawAnswer, sendRaw } from '../support/raw-http.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const SECRET = 'synthetic-secret-0123456789';
const BROWSER = { 'user-agent': FIREFOX };

type Headers = Readonly<Record<string, string>>;

function toBytes(path: string, headers: Headers, method = 'GET'): Buffer {
  const lines = Object.entries({ host: 'sho.rt', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** One request with these headers and no other, on a connection of its own. */
async function follow(
  { url }: HttpService,
  path: string,
  headers: Headers = BROWSER,
  method = 'GET',
): Promise<RawAnswer> {
  const [answer] = await sendRaw(url, toBytes(path, headers, method), {
    answers: 1,
    isHead: method === 'HEAD',
  });
  if (answer === undefined) throw new Error(`${method} ${path} was not answered.`);
  return answer;
}

interface Ledger {
  readonly served: number;
  readonly counted: Record<string, number>;
  readonly excluded: Record<string, number>;
  readonly pending: number;
  readonly dropped: number;
  readonly drift: number;
}

/** The ledger as /metrics tells it; throws when it does not balance. */
async function readLedger({ manage }: HttpService): Promise<Ledger> {
  const text = String((await manage('GET', '/metrics')).body);
  const figure = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  const byReason = (name: string) =>
    Object.fromEntries(
      [...text.matchAll(new RegExp(`^${name}{reason="(\\w+)"} (\\d+)$`, 'gm'))].map(([, reason, value]) => [
        reason,
        Number(value),
      ]),
    );
  const ledger = {
    served: figure('fleetlink_clicks_served_total'),
    counted: byReason('fleetlink_clicks_counted_total'),
    excluded: byReason('fleetlink_clicks_excluded_total'),
    pending: figure('fleetlink_clicks_pending'),
    dropped: figure('fleetlink_clicks_dropped_total'),
    drift: figure('fleetlink_ledger_drift'),
  };
  const { counted, excluded, pending, dropped } = ledger;
  const total = sumOf(counted) + sumOf(excluded) + pending + dropped;
  if (total !== ledger.served) throw new Error(`The ledger does not balance: ${JSON.stringify(ledger)}`);
  return ledger;
}

function sumOf(figures: Readonly<Record<string, number>>): number {
  return Object.values(figures).reduce((one, other) => one + other, 0);
}

function countRows({ dataDir }: HttpService): number {
  const [row] = queryClicks(dataDir, 'select count(*) as count from clicks') as { count: number }[];
  return Number(row?.count);
}

t.test('a click has the reason that its request shows, and its link', async (t) => {
  const service = await startHttp(t, { env: { SYNTHETIC_SECRET: SECRET } });
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const own = { 'x-fleetlink-synthetic': signOwn(SECRET, service.clock.nowMs()) };
  const requests: readonly [string, Headers, string?][] = [
    ['human', BROWSER],
    ['repeat', BROWSER],
    ['prefetch', { ...BROWSER, 'sec-purpose': 'prefetch' }],
    ['prefetch', { ...BROWSER, 'x-moz': 'prefetch' }],
    ['preview', { 'user-agent': 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)' }],
    ['bot', { 'user-agent': 'curl/8.5.0' }],
    ['bot', {}],
    ['own', { ...BROWSER, ...own }],
    ['head', BROWSER, 'HEAD'],
    ['human', { 'user-agent': `${FIREFOX} other` }],
  ];
  for (const [reason, headers, method] of requests) {
    t.equal((await follow(service, '/autumn', headers, method)).status, 302, reason);
  }
  const stored = readClicks(service.dataDir);
  t.same(
    stored.map(({ reason }) => reason),
    requests.map(([reason]) => reason).filter((reason) => reason !== 'own' && reason !== 'head'),
  );
  t.ok(stored.every(({ link_id, at_ms }) => link_id === id && at_ms === service.clock.nowMs()));
  t.same(await readLedger(service), {
    served: 10,
    counted: { human: 2, bot: 2, preview: 1, prefetch: 2, repeat: 1 },
    excluded: { head: 1, own: 1 },
    pending: 0,
    dropped: 0,
    drift: 0,
  });
});

t.test('what is stored of a click, and nothing else', async (t) => {
  const service = await startHttp(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  await follow(service, '/autumn?utm_source=secret', {
    ...BROWSER,
    referer: ['https://user', 'secret@News.Example.com', '8443/secret?q=secret'].join(':'),
    'accept-language': 'de-AT,de;q=0.9,en;q=0.8',
    cookie: 'session=secret',
    authorization: 'Bearer secret-secret-secret-secret',
    from: 'secret@example.com',
  });
  const [stored] = readClicks(service.dataDir);
  t.match(stored, { visitor: Number });
  t.same(stored, {
    id: 2 ** 32 + 1,
    link_id: id,
    at_ms: service.clock.nowMs(),
    reason: 'human',
    visitor: stored?.visitor,
    agent: FIREFOX,
    referrer: 'news.example.com',
    language: 'de',
    country: null,
  });
  t.notOk(readBytes(service).includes('secret'), 'no path, no query, no cookie, no credential');
});

/** All that is on the disk of the clicks. */
function readBytes({ dataDir }: HttpService): Buffer {
  return Buffer.concat(['clicks.db', 'clicks.db-wal'].map((name) => readFileSync(join(dataDir, name))));
}

t.test('no address is anywhere in clicks.db or its WAL, in no form', async (t) => {
  const service = await startHttp(t, { env: { TRUST_PROXY: '127.0.0.1' } });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const addresses = ['203.0.113.77', '198.51.100.9', '2001:db8:85a3:8d3:1319:8a2e:370:7348'];
  for (const address of addresses) {
    await follow(service, '/autumn', {
      ...BROWSER,
      'x-forwarded-for': address,
      'x-real-ip': address,
      forwarded: `for=${address}`,
    });
  }
  const stored = readClicks(service.dataDir);
  t.equal(new Set(stored.map(({ visitor }) => visitor)).size, 3, 'they were told apart');
  const bytes = readBytes(service);
  const forms = addresses.flatMap((address) => [
    address,
    address.replaceAll(':', ''),
    Buffer.from(address).toString('base64'),
    toPacked(address),
    toPacked(address).toString('hex'),
    // Who knows an address could try all of them.
    createHash('sha256').update(address).digest().subarray(0, 6),
    createHash('sha256').update(address).digest('hex').slice(0, 12),
  ]);
  for (const form of [...forms, '2001:db8:85a3:8d3', '127.0.0.1'])
    t.notOk(bytes.includes(form), String(form));
  t.ok(bytes.includes(FIREFOX), 'what is stored is found that way');
});

function toPacked(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  return Buffer.from(
    address
      .split(':')
      .map((group) => group.padStart(4, '0'))
      .join(''),
    'hex',
  );
}

t.test('a visitor is told apart by address and browser, for a day', async (t) => {
  const service = await startHttp(t, { env: { TRUST_PROXY: '127.0.0.1', CLICK_REPEAT_SECONDS: '0' } });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const from = (address: string, agent = FIREFOX) =>
    follow(service, '/autumn', { 'user-agent': agent, 'x-forwarded-for': address });
  await from('203.0.113.1');
  await from('203.0.113.1');
  await from('203.0.113.2');
  await from('203.0.113.1', `${FIREFOX} other`);
  await from('2001:db8::1');
  await from('2001:db8::2');
  const msToMidnight = DAY_MS - (service.clock.nowMs() % DAY_MS);
  await service.clock.advance(msToMidnight - 1);
  await from('203.0.113.1');
  await service.clock.advance(1);
  await from('203.0.113.1');
  const [a, b, c, d, e, f, late, next] = readClicks(service.dataDir).map(({ visitor }) => visitor);
  t.equal(b, a);
  t.equal(new Set([a, c, d, e, next]).size, 5);
  t.equal(f, e, 'a customer holds a whole network of IPv6');
  t.equal(late, a, 'to the last millisecond of the day');
  t.same(
    queryClicks(service.dataDir, 'select day from salts'),
    [{ day: service.clock.nowMs() / DAY_MS }],
    'and the salt of the day before is gone',
  );
});

t.test('a country is believed from a proxy that is trusted, and from nobody else', async (t) => {
  const follows = async (env: Readonly<Record<string, string>>, headers: Headers) => {
    const service = await startHttp(t, { env });
    await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
    await follow(service, '/autumn', { ...BROWSER, ...headers });
    return readClicks(service.dataDir)[0]?.country;
  };
  const proxy = { TRUST_PROXY: '127.0.0.1' };
  t.equal(await follows(proxy, { 'cf-ipcountry': 'NL' }), 'NL');
  t.equal(await follows(proxy, { 'cloudfront-viewer-country': 'AT' }), 'AT');
  t.equal(await follows({}, { 'cf-ipcountry': 'NL' }), null, 'without a proxy');
  t.equal(
    await follows({ TRUST_PROXY: '192.0.2.1' }, { 'cf-ipcountry': 'NL' }),
    null,
    'from another address',
  );
  const client = { 'x-forwarded-for': '8.8.8.8' };
  t.equal(await follows(proxy, client), 'US', 'where the proxy says nothing the address is looked up');
  for (const nonsense of ['XX', 'T1', 'nl', 'NLD', '', 'NL, DE', "N'"]) {
    t.equal(await follows(proxy, { ...client, 'cf-ipcountry': nonsense }), 'US', nonsense);
  }
});

t.test('DNT and Sec-GPC leave nothing but that somebody came, where they are obeyed', async (t) => {
  const headers = { ...BROWSER, referer: 'https://news.example.com/', 'accept-language': 'de' };
  for (const signal of [{ dnt: '1' }, { 'sec-gpc': '1' }]) {
    for (const isObeyed of [true, false]) {
      const service = await startHttp(t, { env: { CLICK_PRIVACY_SIGNALS: String(isObeyed) } });
      const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
      await follow(service, '/autumn', { ...headers, ...signal });
      await follow(service, '/autumn', { ...headers, ...signal });
      const whole = readClicks(service.dataDir).map(({ id: _, at_ms: __, ...rest }) => rest);
      const nothing = { visitor: null, agent: null, referrer: null, language: null, country: null };
      if (isObeyed) {
        const click = { link_id: id, reason: 'human', ...nothing };
        t.same(whole, [click, click], 'whoever is nobody is not known again');
        t.same(queryClicks(service.dataDir, 'select text from words'), []);
      } else t.match(whole, [{ agent: FIREFOX, language: 'de' }, { reason: 'repeat' }]);
      t.match(await readLedger(service), { served: 2 });
    }
  }
});

t.test('what is not answered with a redirect of a key is no click', async (t) => {
  const service = await startHttp(t);
  const { ask } = service;
  await makeLink(ask, { key: 'off', url: 'https://example.com/', status: 'disabled' });
  await makeLink(ask, { key: 'gone', url: 'https://example.com/' });
  await ask('DELETE', '/api/v1/links/gone');
  await makeLink(ask, { key: 'over', url: 'https://example.com/', expires_at: '2026-01-31T12:00:01Z' });
  await service.clock.advance(1000);
  const requests = [
    ['/nothing', 404],
    ['/off', 410],
    ['/gone', 410],
    ['/over', 410],
    ['/off+', 404],
    ['/api/v1/links', 401],
    ['/healthz', 200],
    ['/', 200],
    ['/a/b', 404],
  ] as const;
  for (const [path, status] of requests) t.equal((await follow(service, path)).status, status, path);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  t.equal((await follow(service, '/autumn', BROWSER, 'POST')).status, 405);
  t.equal((await sendRaw(service.url, 'GET /autumn HTTP/1.1\r\n\r\n', { answers: 1 }))[0]?.status, 400);
  t.same(readClicks(service.dataDir), []);
  t.match(await readLedger(service), { served: 0 });
  for (const redirect_status of [301, 302, 307, 308]) {
    await makeLink(ask, { key: `to-${redirect_status}`, url: 'https://example.com/', redirect_status });
    t.equal((await follow(service, `/to-${redirect_status}`)).status, redirect_status);
  }
  t.match(await readLedger(service), { served: 4, counted: { human: 4 } });
});

t.test('the operator’s own requests need a signature of these five minutes', async (t) => {
  const service = await startHttp(t, { env: { SYNTHETIC_SECRET: SECRET } });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const nowMs = service.clock.nowMs();
  const right = signOwn(SECRET, nowMs);
  const cases = [
    [right, 'own'],
    [signOwn(SECRET, nowMs - 299_000), 'own'],
    [signOwn(SECRET, nowMs - 301_000), 'human'],
    [signOwn('another-secret-0123456789', nowMs), 'human'],
    [right.toUpperCase(), 'human'],
    [`${right}, ${right}`, 'human'],
    ['', 'human'],
    ['1'.repeat(10_000), 'human'],
  ] as const;
  for (const [index, [header, kind]] of cases.entries()) {
    const before = await readLedger(service);
    await follow(service, '/autumn', {
      'user-agent': `${FIREFOX} ${index}`,
      'x-fleetlink-synthetic': header,
    });
    const { counted, excluded } = await readLedger(service);
    const change = {
      human: Number(counted.human) - Number(before.counted.human),
      own: Number(excluded.own) - Number(before.excluded.own),
    };
    t.same(change, { human: kind === 'human' ? 1 : 0, own: kind === 'own' ? 1 : 0 }, header.slice(0, 30));
  }
});

t.test('hostile headers are stored cut, whole as text, or not at all', async (t) => {
  const service = await startHttp(t);
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const bytes = String.fromCharCode(...Array.from({ length: 128 }, (_, n) => n + 128));
  const requests: readonly Headers[] = [
    { 'user-agent': 'x'.repeat(8000), referer: `https://${'a'.repeat(7000)}/` },
    { 'user-agent': bytes, referer: `https://${bytes}/`, 'accept-language': bytes },
    { 'user-agent': "'); drop table clicks; --", referer: "https://';--/" },
    { 'user-agent': '\t', referer: 'javascript:alert(1)', 'accept-language': 'en_US' },
    { 'user-agent': '__proto__', referer: 'https://__proto__/', 'accept-language': 'constructor' },
  ];
  for (const headers of requests) t.equal((await follow(service, '/autumn', headers)).status, 302);
  const twice =
    'GET /autumn HTTP/1.1\r\nHost: sho.rt\r\nUser-Agent: a\r\nUser-Agent: b\r\nDNT: 1\r\nDNT: 1\r\nReferer: https://a.example/\r\nReferer: https://b.example/\r\n\r\n';
  t.equal((await sendRaw(service.url, twice, { answers: 1 }))[0]?.status, 302);
  const stored = readClicks(service.dataDir).map(({ agent, referrer, language }) => ({
    agent,
    referrer,
    language,
  }));
  t.same(stored, [
    { agent: 'x'.repeat(300), referrer: 'a'.repeat(253), language: null },
    { agent: bytes, referrer: null, language: null },
    { agent: "'); drop table clicks; --", referrer: null, language: null },
    { agent: '', referrer: null, language: null },
    { agent: '__proto__', referrer: '__proto__', language: null },
    { agent: 'a', referrer: 'a.example', language: null },
  ]);
});

t.test('pipelined requests are clicks each, answered in their order', async (t) => {
  const service = await startHttp(t);
  for (const key of ['one', 'two']) await makeLink(service.ask, { key, url: `https://example.com/${key}` });
  const paths = Array.from({ length: 30 }, (_, n) => ['/one', '/two', '/nothing'][n % 3] as string);
  const bytes = Buffer.concat(paths.map((path) => toBytes(path, BROWSER)));
  const answers = await sendRaw(service.url, bytes, { answers: 30 });
  t.same(
    answers.map(
      ({ status, headers }) => headers.get('location')?.slice('https://example.com'.length) ?? status,
    ),
    paths.map((path) => (path === '/nothing' ? 404 : path)),
  );
  t.equal(readClicks(service.dataDir).length, 20);
  t.match(await readLedger(service), { served: 20, counted: { human: 2, repeat: 18 } });
});

async function askAndHangUp({ url }: HttpService, request: Buffer): Promise<void> {
  const socket = await connect(url);
  socket.write(request, () => socket.resetAndDestroy());
}

t.test('whoever hangs up before the answer, or never reads it, has clicked', async (t) => {
  const service = await startHttp(t, { limits: { answerTimeoutMs: 200, timeoutCheckMs: 50 } });
  await makeLink(service.ask, { key: 'autumn', url: `https://example.com/${'x'.repeat(2000)}` });
  const request = toBytes('/autumn', BROWSER);
  for (let n = 0; n < 20; n++) {
    await askAndHangUp(service, request);
  }
  const deaf = await connect(service.url);
  deaf.on('error', () => undefined).pause();
  for (let n = 0; n < 30; n++) deaf.write(request);
  await until('all that reached the service are stored', async () => {
    const { served, counted } = await readLedger(service);
    return served >= 30 && served === sumOf(counted) && served === countRows(service);
  });
  t.ok(countRows(service) <= 50);
  t.equal((await follow(service, '/autumn')).status, 302);
  t.equal((await readLedger(service)).served, countRows(service));
});

t.test('a link that changes while its click waits: whoever came before is sent where it led', async (t) => {
  const service = await startHttp(t);
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/old' });
  const lock = lockClicks(t, service.dataDir);
  const before = follow(service, '/autumn');
  await until('the click waits', async () => (await service.ask('GET', '/healthz')).status === 200);
  await service.ask('PATCH', '/api/v1/links/autumn', {
    body: { url: 'https://example.com/new' },
    headers: { 'if-match': '"1"' },
  });
  const after = follow(service, '/autumn', { 'user-agent': `${FIREFOX} other` });
  await until('both wait', async () => (await readLedger(service)).served === 0);
  lock.release();
  const answers = await untilAnswered(service, Promise.all([before, after]));
  t.same(
    answers.map(({ headers }) => headers.get('location')),
    ['https://example.com/old', 'https://example.com/new'],
  );
  t.same(
    readClicks(service.dataDir).map(({ link_id }) => link_id),
    [id, id],
  );
});

/** Lets the fake clock go on, which whoever waits for the lock sleeps by. */
async function untilAnswered<T>({ clock }: HttpService, answers: Promise<T>): Promise<T> {
  let isOver = false;
  const ended = answers.finally(() => {
    isOver = true;
  });
  await until('the answers are there', async () => {
    await clock.advance(2);
    return isOver;
  });
  return ended;
}

t.test(
  'while another process writes for longer than anybody waits, redirects go on and clicks follow',
  async (t) => {
    const service = await startHttp(t);
    await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
    const lock = lockClicks(t, service.dataDir);
    const waiting = follow(service, '/autumn');
    await until('it waits no longer', async () => {
      await service.clock.advance(50);
      return (await readLedger(service)).pending === 1;
    });
    t.equal((await waiting).status, 302);
    t.equal((await follow(service, '/autumn', BROWSER, 'HEAD')).status, 302);
    t.match((await service.ask('GET', '/readyz')).body, { status: 'degraded', reasons: ['clicks_db'] });
    t.match(await readLedger(service), { served: 2, pending: 1, excluded: { head: 1 } });
    lock.release();
    await until('it is stored', async () => {
      await service.clock.advance(100);
      return (await readLedger(service)).pending === 0;
    });
    t.match((await service.ask('GET', '/readyz')).body, { status: 'ready', reasons: [] });
    t.match(await readLedger(service), { served: 2, counted: { human: 1 } });
    const text = String((await service.manage('GET', '/metrics')).body);
    t.match(text, /^fleetlink_click_wait_seconds_count 1$/m, 'how long it waited is told');
  },
);

t.test('how old the oldest click is that statistics do not know is told', async (t) => {
  const service = await startHttp(t);
  const readAge = async () => {
    const { body } = await service.manage('GET', '/metrics');
    return /^fleetlink_clicks_uncounted_seconds (\S+)$/m.exec(String(body))?.[1];
  };
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  t.equal(await readAge(), '0');
  await follow(service, '/autumn');
  await service.clock.advance(10);
  t.equal(await readAge(), '0.01');
  await service.ask('GET', '/api/v1/links/autumn/stats');
  t.equal(await readAge(), '0');
});

t.test('what goes with a clicks.db that is deleted is told', async (t) => {
  const service = await startHttp(t);
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  for (let n = 0; n < 3; n++) await follow(service, '/autumn');
  rmSync(join(service.dataDir, 'clicks.db'));
  await service.clock.advance(1000);
  t.equal((await follow(service, '/autumn')).status, 302);
  t.match((await service.ask('GET', '/readyz')).body, { status: 'degraded', reasons: ['clicks_db'] });
  await until('it is stored', async () => {
    await service.clock.advance(100);
    return (await readLedger(service)).pending === 0;
  });
  t.match(await readLedger(service), { served: 4, pending: 0, drift: 3 });
  t.equal(countRows(service), 1);
  t.match(
    service.log().find(({ msg }) => String(msg).startsWith('a new clicks.db was made')),
    { level: 'error', clicks: 3, ofProcess: 3 },
  );
});

t.test('a clicks.db that is damaged at the start is set aside, and that is told', async (t) => {
  const dataDir = makeFolder(t);
  writeFileSync(join(dataDir, 'clicks.db'), 'garbage '.repeat(1000));
  const service = await startHttp(t, { dataDir });
  const path = join(dataDir, `clicks.db.damaged-${service.clock.nowMs()}`);
  t.match(
    service.log().find(({ msg }) => msg === 'clicks.db was damaged and is set aside'),
    { level: 'error', path },
  );
  t.ok(existsSync(path));
  t.match((await service.ask('GET', '/readyz')).body, { status: 'ready' });
});

t.test('a clock that jumps, also over days, stops nothing', async (t) => {
  const clock = createFakeClock();
  const service = await startHttp(t, { clock });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const start = clock.nowMs();
  const jumps = [0, -3_600_000, 3_600_000, -40 * DAY_MS, 400 * DAY_MS, DAY_MS - 1, DAY_MS, -1];
  for (const jump of jumps) {
    clock.moveWall(start + jump - clock.nowMs());
    t.equal((await follow(service, '/autumn')).status, 302, `${jump} ms`);
  }
  t.same(
    readClicks(service.dataDir).map(({ at_ms }) => at_ms - start),
    jumps,
  );
  t.ok(readClicks(service.dataDir).every(({ visitor }) => visitor !== null));
  t.match(await readLedger(service), { served: jumps.length });
});

t.test('the ledger balances, and has what is stored, whatever mix of requests comes', async (t) => {
  const service = await startHttp(t, { env: { SYNTHETIC_SECRET: SECRET, CLICK_PRIVACY_SIGNALS: 'true' } });
  for (const key of ['one', 'two']) await makeLink(service.ask, { key, url: 'https://example.com/' });
  await makeLink(service.ask, { key: 'off', url: 'https://example.com/', status: 'disabled' });
  const request = fc.record({
    path: fc.constantFrom('/one', '/two', '/one?x=1', '/off', '/nothing', '/', '/healthz', '/api/v1/links'),
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST'),
    headers: fc.record(
      {
        'user-agent': fc.constantFrom(FIREFOX, 'curl/8', 'WhatsApp/2.23', '', 'Firefox'),
        'sec-purpose': fc.constantFrom('prefetch', 'none'),
        'sec-gpc': fc.constant('1'),
        'x-fleetlink-synthetic': fc.constantFrom(signOwn(SECRET, service.clock.nowMs()), 'nonsense'),
        referer: fc.webUrl(),
        'accept-language': fc.constantFrom('de', 'en-GB', '*'),
      },
      { requiredKeys: [] },
    ),
    passesMs: fc.nat(5000),
    hangsUp: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 30 }), async (requests) => {
      await Promise.all(
        requests.map(async ({ path, method, headers, hangsUp }) => {
          if (hangsUp) await askAndHangUp(service, toBytes(path, headers as Headers, method));
          else await follow(service, path, headers as Headers, method);
        }),
      );
      await service.clock.advance(requests.at(-1)?.passesMs ?? 0);
      // Whoever hung up may still be on the way.
      await until(
        'the rows are what is counted',
        async () => sumOf((await readLedger(service)).counted) === countRows(service),
      );
      t.ok(true);
    }),
    propertyRuns(t, { runs: 30, proveRuns: 500 }),
  );
});
