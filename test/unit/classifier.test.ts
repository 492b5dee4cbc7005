import type { IncomingHttpHeaders } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createAgentReader, describeAgent, judgeAgent } from '../../app/clicks/agent.ts';
import { createClassifier, type Visit } from '../../app/clicks/classifier.ts';
import { openCountries } from '../../app/clicks/country.ts';
import { createOwnCheck, signOwn } from '../../app/clicks/own-requests.ts';
import { createRepeatMemory } from '../../app/clicks/repeats.ts';
import { createVisitorHash, DAY_MS } from '../../app/clicks/visitor.ts';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const SECRET = 'synthetic-secret-0123456789';
const NOON = Date.UTC(2026, 0, 31, 12);

function start({ obeysPrivacySignals = false, repeatMs = 10_000 } = {}) {
  const classify = createClassifier({
    readAgent: createAgentReader(),
    hashVisitor: createVisitorHash({ saltOf: (day) => ({ salt: `salt of ${day}`, isShared: true }) }),
    repeats: createRepeatMemory({ windowMs: repeatMs }),
    isOwn: createOwnCheck(SECRET),
    findCountry: (client) => (client === '203.0.113.7' ? 'NL' : null),
    obeysPrivacySignals,
  });
  return (headers: IncomingHttpHeaders = {}, visit: Partial<Visit> = {}) =>
    classify({
      linkId: 1,
      atMs: NOON,
      method: 'GET',
      headers: { 'user-agent': FIREFOX, ...headers },
      client: '203.0.113.7',
      country: null,
      ...visit,
    });
}

function reasonOf(click: ReturnType<ReturnType<typeof start>>): string {
  return typeof click === 'string' ? click : click.reason;
}

t.test('a browser is a human, and this is what is kept of it', async (t) => {
  const classify = start();
  const click = classify({
    referer: 'https://News.Example.com:8443/a/path?q=secret#part',
    'accept-language': 'de-AT,de;q=0.9,en;q=0.8',
  });
  t.match(click, { visitor: Number });
  t.same(click, {
    linkId: 1,
    atMs: NOON,
    reason: 'human',
    visitor: (click as { visitor: number }).visitor,
    agent: FIREFOX,
    referrer: 'news.example.com',
    language: 'de',
    country: 'NL',
  });
});

t.test('the first rule that fits decides', async (t) => {
  const own = { 'x-fleetlink-synthetic': signOwn(SECRET, NOON) };
  const prefetch = { 'sec-purpose': 'prefetch;prerender' };
  const preview = { 'user-agent': 'facebookexternalhit/1.1' };
  const bot = { 'user-agent': 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)' };
  const cases: [IncomingHttpHeaders, Partial<Visit>, string][] = [
    [{ ...own, ...prefetch, ...bot }, { method: 'HEAD' }, 'head'],
    [{ ...own, ...prefetch, ...bot }, {}, 'own'],
    [{ ...prefetch, ...bot }, {}, 'prefetch'],
    [preview, {}, 'preview'],
    [bot, {}, 'bot'],
    [{ purpose: 'prefetch' }, {}, 'prefetch'],
    [{ 'x-moz': 'prefetch' }, {}, 'prefetch'],
    [{ 'x-purpose': 'preview' }, {}, 'prefetch'],
    [{ 'user-agent': undefined }, {}, 'bot'],
    [{}, {}, 'human'],
  ];
  for (const [headers, visit, reason] of cases) t.equal(reasonOf(start()(headers, visit)), reason, reason);
});

t.test('what agents are', async (t) => {
  const cases = [
    ['', 'bot'],
    ['curl/8.5.0', 'bot'],
    ['python-requests/2.31', 'bot'],
    ['Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)', 'bot'],
    ['Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)', 'preview'],
    ['Twitterbot/1.0', 'preview'],
    ['WhatsApp/2.23.20.0', 'preview'],
    ['TelegramBot (like TwitterBot)', 'preview'],
    ['Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)', 'preview'],
    ['LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)', 'preview'],
    ['http.rb/5.1.1 (Mastodon/4.2.1; +https://social.example/)', 'preview'],
    [FIREFOX, 'browser'],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1',
      'browser',
    ],
  ] as const;
  for (const [agent, kind] of cases) t.equal(judgeAgent(agent), kind, agent);
  const read = createAgentReader();
  t.same([read('Twitterbot/1.0'), read('Twitterbot/1.0')], ['preview', 'preview']);
});

t.test('an agent is described as far as it says', async (t) => {
  t.same(describeAgent(FIREFOX), { browser: 'Firefox', os: 'Linux', device: 'desktop' });
  t.same(describeAgent(''), { browser: null, os: null, device: null });
  t.same(describeAgent('x'), { browser: null, os: null, device: null });
});

t.test('the same visitor on the same link is a repeat for some seconds after a human click', async (t) => {
  const classify = start();
  const at = (ms: number, linkId = 1, headers: IncomingHttpHeaders = {}) =>
    reasonOf(classify(headers, { atMs: NOON + ms, linkId }));
  t.same(
    [at(0), at(1), at(9999), at(10_000), at(10_001)],
    ['human', 'repeat', 'repeat', 'human', 'repeat'],
    'a repeat does not prolong the time',
  );
  t.equal(at(2, 2), 'human', 'another link is another matter');
  t.equal(at(3, 1, { 'user-agent': `${FIREFOX}.1` }), 'human', 'and so is another visitor');
  t.equal(at(4, 1, { 'sec-purpose': 'prefetch' }), 'prefetch');
});

t.test('without a window nothing is a repeat', async (t) => {
  const classify = start({ repeatMs: 0 });
  t.same([reasonOf(classify()), reasonOf(classify())], ['human', 'human']);
});

t.test('whoever takes the place of another makes it forgotten, not mistaken', async (t) => {
  const repeats = createRepeatMemory({ windowMs: 1000 });
  // The same place: pairs that differ by a multiple of the number of places.
  t.notOk(repeats.isRepeat(1, 0, 0));
  t.notOk(repeats.isRepeat(1 + 2 ** 18, 0, 1));
  t.notOk(repeats.isRepeat(1, 0, 2));
  t.ok(repeats.isRepeat(1, 0, 3));
});

t.test('a clock that is set back makes nobody a repeat until it has caught up', async (t) => {
  const classify = start();
  const at = (ms: number) => reasonOf(classify({}, { atMs: NOON + ms }));
  t.same([at(0), at(-3_600_000), at(-3_599_999), at(-3_590_000)], ['human', 'human', 'repeat', 'human']);
});

t.test('privacy signals switch detail off, when they are obeyed', async (t) => {
  const obeying = start({ obeysPrivacySignals: true });
  const nothing = { visitor: null, agent: null, referrer: null, language: null, country: null };
  for (const signal of [{ dnt: '1' }, { 'sec-gpc': '1' }]) {
    t.same(obeying({ ...signal, referer: 'https://a.example/' }), {
      linkId: 1,
      atMs: NOON,
      reason: 'human',
      ...nothing,
    });
    t.match(start()(signal), { agent: FIREFOX });
  }
  t.match(obeying({ dnt: '0' }), { agent: FIREFOX });
  t.match(obeying({ dnt: '1', 'user-agent': 'curl/8' }), { reason: 'bot', agent: null });
});

t.test('hostile headers are cut down to what is kept', async (t) => {
  const classify = start();
  const click = classify({
    'user-agent': 'x'.repeat(5000),
    referer: `https://${'a'.repeat(5000)}.example/`,
    'accept-language': '*',
  });
  t.match(click, { agent: 'x'.repeat(300), referrer: 'a'.repeat(253), language: null });
  for (const referer of ['', 'nonsense', '/path', 'https://', 'https:///x', 'about:client']) {
    t.match(classify({ referer }), { referrer: null }, referer);
  }
  t.match(classify({ referer: 'https://user:pass@A.example:1/' }), { referrer: 'a.example' });
  t.match(classify({ referer: 'http://[2001:db8::1]:8080/x' }), { referrer: '[2001:db8::1]' });
  t.match(classify({ referer: 'http://[' }), { referrer: null });
  for (const referer of [
    'https://\u00dc.example/',
    'https://a..example/',
    'https://.example/',
    'https://a%20b.example/',
  ]) {
    t.match(classify({ referer }), { referrer: null }, referer);
  }
  t.match(classify({ referer: 'https://a.example.:8443' }), { referrer: 'a.example' });
  t.match(classify({ referer: 'android-app://com.example.reader/' }), { referrer: 'com.example.reader' });
});

t.test('what is kept of a click does not keep its headers in memory', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const classify = start();
  const header = (beginning: string) => Buffer.from(beginning.padEnd(7000, 'x'), 'latin1').toString('latin1');
  collect();
  const before = process.memoryUsage().heapUsed;
  const clicks = Array.from({ length: 5000 }, (_, n) =>
    classify({
      'user-agent': header(`agent ${n} `),
      referer: header(`https://host-number-${n}.example.com/`),
    }),
  );
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / clicks.length;
  t.ok(bytes < 2000, `${Math.round(bytes)} bytes a click`);
});

t.test('a salt of this process alone is asked for again, the shared one is not', async (t) => {
  const asked: number[] = [];
  let isShared = false;
  const hash = createVisitorHash({
    saltOf(day) {
      asked.push(day);
      return { salt: isShared ? 'shared' : 'own', isShared };
    },
  });
  const at = (ms: number) => hash('203.0.113.7', FIREFOX, NOON + ms);
  const own = at(0);
  t.same([at(99), asked.length], [own, 1]);
  t.same([at(100), asked.length], [own, 2]);
  isShared = true;
  const shared = at(200);
  t.not(shared, own);
  t.same([at(400), at(-3_600_000), asked.length], [shared, shared, 3]);
});

t.test('a visitor is the same all day and nobody on the next', async (t) => {
  const salts: number[] = [];
  const hash = createVisitorHash({
    saltOf(day) {
      salts.push(day);
      return { salt: String(day), isShared: true };
    },
  });
  const today = Math.floor(NOON / DAY_MS);
  const first = hash('203.0.113.7', FIREFOX, NOON);
  t.ok(Number.isSafeInteger(first) && first >= 0 && first < 2 ** 48);
  t.equal(hash('203.0.113.7', FIREFOX, (today + 1) * DAY_MS - 1), first);
  t.not(hash('203.0.113.8', FIREFOX, NOON), first);
  t.not(hash('203.0.113.7', 'other', NOON), first);
  t.same(salts, [today], 'the salt is asked for once a day');
  t.not(hash('203.0.113.7', FIREFOX, (today + 1) * DAY_MS), first);
  t.same(salts, [today, today + 1]);
});

t.test('only who has the secret can mark a request as the operator’s own', async (t) => {
  const isOwn = createOwnCheck(SECRET);
  const header = signOwn(SECRET, NOON);
  t.ok(isOwn(header, NOON));
  t.ok(isOwn(header, NOON + 5 * 60_000));
  t.notOk(isOwn(header, NOON + 5 * 60_000 + 1), 'it is worth nothing after five minutes');
  t.notOk(isOwn(header, NOON - 5 * 60_000 - 1));
  t.notOk(isOwn(undefined, NOON));
  t.notOk(isOwn([header, header], NOON));
  for (const wrong of [signOwn('another-secret-0123456789', NOON), '', '.', `${header}0`, header.slice(1)]) {
    t.notOk(isOwn(wrong, NOON), wrong);
  }
  t.notOk(createOwnCheck(null)(header, NOON), 'without a secret nothing is own');
});

t.test('addresses have countries, private ones have none', async (t) => {
  const find = openCountries();
  t.equal(find('8.8.8.8'), 'US');
  t.equal(find('8.8.8.8'), 'US', 'and again, from memory');
  t.match(find('2001:67c:2e8:25::/64'), /^[A-Z]{2}$/);
  const nowhere =
    '127.0.0.1 10.1.2.3 172.16.0.1 192.168.0.1 192.168.178.20 203.0.113.1 198.51.100.1 100.64.0.1 169.254.0.1 ' +
    '::1 ::ffff:192.168.1.1 2001:db8::1 fd00:: fe80::1 5f00::1 unknown';
  for (const client of nowhere.split(' ')) t.equal(find(client), null, client);
});
