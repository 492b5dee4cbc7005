// Two hosts that share a PostgreSQL are asked at once to put, change, delete, restore and purge the same few links, and to follow
// them. What they answered is held against the history afterwards: whoever was told of a version finds it there, once and in order.
import pg from 'pg';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { type HttpService, type LinkBody, makeLink, startHttp } from '../support/http.ts';
import { startPostgres } from '../support/postgres.ts';
import { IS_PROOF } from '../support/property.ts';
import { requireCommand } from '../support/requirement.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import type { Answer, AskOptions } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Databases have no fake clock. */
const REAL_CLOCK: FakeClock = {
  ...systemClock,
  advance: systemClock.sleep,
  moveWall: () => {
    throw new Error('Nobody sets the clock of this machine.');
  },
};
const BROWSER = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' };
/** The first is asked for in half of all requests. */
const KEYS = ['hot', 'one', 'two', 'three'];
const EDITORS = 12;
const REQUESTS = IS_PROOF ? 5000 : 600;
const AGREED_WITHIN_MS = 5000;
/** A purge gives way to redirects, and takes about 0.15 s a link beside them. */
const PURGED_WITHIN_MS = IS_PROOF ? 120_000 : 20_000;
/** What may be answered to whom others get in the way of. */
const STATUSES: Readonly<Record<Kind, readonly number[]>> = {
  put: [200, 201, 409, 412],
  patch: [200, 404, 410, 412],
  delete: [204, 404, 410],
  purge: [204, 404],
  revert: [200, 404, 409],
  follow: [302, 404, 410],
};

type Kind = 'put' | 'patch' | 'delete' | 'purge' | 'revert' | 'follow';

/** An answer, and when it was asked for and given. */
interface Seen {
  readonly host: number;
  readonly key: string;
  readonly kind: Kind;
  readonly status: number;
  readonly askedAt: number;
  readonly answeredAt: number;
  /** As it was answered; null: the answer shows none. */
  readonly link: LinkBody | null;
  /** Where a redirect leads; null: nowhere. */
  readonly target: string | null;
  /** Of a request with If-Match. */
  readonly ifVersion: number | null;
  /** Of a purge. */
  readonly purgedId: number | null;
}

interface HistoryEntry {
  readonly version: number;
  readonly seq: number;
  readonly type: string;
  readonly after: { readonly url: string };
}

interface Event extends HistoryEntry {
  readonly link_id: number;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}

async function readAll<T>({ ask }: HttpService, path: string): Promise<T[]> {
  const items: T[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { body } = await ask('GET', `${path}limit=200${more}`);
    const page = body as Page<T>;
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}

/** Editors who each wait for their answer, and choose anew. */
async function contend(hosts: readonly HttpService[], random: Random): Promise<Seen[]> {
  const seen: Seen[] = [];
  /** By key the link that was last heard of. */
  const latest = new Map<string, LinkBody>();
  let begun = 0;

  const pick = <T>(list: readonly T[]): T => list[pickInteger(random, { min: 0, max: list.length - 1 })] as T;

  async function send(
    kind: Kind,
    key: string,
    request: [string, string, AskOptions?],
    known: Partial<Pick<Seen, 'ifVersion' | 'purgedId'>> = {},
  ): Promise<void> {
    const host = pickInteger(random, { min: 0, max: hosts.length - 1 });
    const askedAt = performance.now();
    const answer: Answer = await (hosts[host] as HttpService).ask(...request);
    const { status, headers } = answer;
    const isLink = kind !== 'follow' && (status === 200 || status === 201);
    const link = isLink ? (answer.body as LinkBody) : null;
    const target = kind === 'follow' ? headers.get('location') : null;
    const unknown = { ifVersion: null, purgedId: null };
    const times = { askedAt, answeredAt: performance.now() };
    seen.push({ host, key, kind, status, ...times, link, target, ...unknown, ...known });
    if (link !== null) latest.set(key, link);
  }

  function edit(key: string): Promise<void> {
    const path = `/api/v1/links/${key}`;
    const url = `https://example.com/${key}/${begun}`;
    const known = latest.get(key);
    const chance = random();
    if (chance < 0.3) return send('follow', key, ['GET', `/${key}`, { key: null, headers: BROWSER }]);
    if (chance < 0.5 || known === undefined) return send('put', key, ['PUT', path, { body: { url } }]);
    if (chance < 0.65) return send('patch', key, ['PATCH', path, { body: { url } }]);
    if (chance < 0.75) {
      const headers = { 'if-match': `"${known.version}"` };
      const ifVersion = known.version;
      return send('patch', key, ['PATCH', path, { body: { url }, headers }], { ifVersion });
    }
    if (chance < 0.8) return send('delete', key, ['DELETE', path]);
    const byId = `/api/v1/links/id:${known.id}`;
    if (chance < 0.85) return send('purge', key, ['DELETE', `${byId}?purge=true`], { purgedId: known.id });
    const body = { version: pickInteger(random, { min: 1, max: known.version }) };
    return send('revert', key, ['POST', `${byId}/revert`, { body }]);
  }

  async function work(): Promise<void> {
    while (begun < REQUESTS) {
      begun++;
      await edit(random() < 0.5 ? (KEYS[0] as string) : pick(KEYS));
    }
  }

  await Promise.all(Array.from({ length: EDITORS }, work));
  return seen;
}

function checkStatuses(t: Test, seen: readonly Seen[]): void {
  const counts: Record<string, number> = {};
  for (const { kind, status } of seen) {
    const name = `${kind} ${status}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  t.comment(counts);
  const wrong = seen.filter(({ kind, status }) => !STATUSES[kind].includes(status));
  t.same(wrong, [], 'nothing is answered but what others can cause');
}

type Told = Seen & { readonly link: LinkBody };

/** Answers that show a link. */
function toldIn(seen: readonly Seen[]): Told[] {
  return seen.filter((one): one is Told => one.link !== null);
}

/** Those that tell of a change of their own: a revert to what the link is already shows the change of another. */
function changesIn(seen: readonly Seen[]): Told[] {
  const told = toldIn(seen);
  const times = new Map<number, number>();
  for (const { link } of told) times.set(link.seq, (times.get(link.seq) ?? 0) + 1);
  return told.filter(({ kind, link }) => kind !== 'revert' || times.get(link.seq) === 1);
}

function purgesIn(seen: readonly Seen[]): Map<number, number> {
  const purges = seen.filter(({ kind, status }) => kind === 'purge' && status === 204);
  return new Map(purges.map(({ purgedId, answeredAt }) => [purgedId as number, answeredAt]));
}

function checkOrder(t: Test, seen: readonly Seen[]): void {
  const changes = changesIn(seen).toSorted((one, other) => one.link.seq - other.link.seq);
  const puts = changes.filter(({ kind }) => kind !== 'revert').map(({ link }) => link.seq);
  t.equal(new Set(puts).size, puts.length, 'no two are told of the same change');
  const outdated = changes.filter(
    ({ ifVersion, link }) => ifVersion !== null && link.version !== ifVersion + 1,
  );
  t.same(outdated, [], 'If-Match lets nothing through but what comes next');
  // Who asked after another was answered comes behind it.
  let latestAsked = Number.NEGATIVE_INFINITY;
  const late = changes.filter(({ askedAt, answeredAt }) => {
    latestAsked = Math.max(latestAsked, askedAt);
    return answeredAt < latestAsked;
  });
  t.same(late, [], 'changes are numbered in the order in which they were answered');
  const purges = purgesIn(seen);
  const raised = changes.filter(({ link, askedAt }) => askedAt > (purges.get(link.id) ?? askedAt));
  t.same(raised, [], 'what was purged is changed no more');
}

/** Every change that was answered is in the history, and every number of a version once. */
async function checkHistory(t: Test, hosts: readonly HttpService[], seen: readonly Seen[]): Promise<void> {
  const [events = [], ofOther] = await Promise.all(
    hosts.map((host) => readAll<Event>(host, '/api/v1/events?after=0&')),
  );
  t.same(events, ofOther, 'both hosts tell the same history');
  const isInOrder = events.every(({ seq }, index) => index === 0 || seq > (events[index - 1] as Event).seq);
  t.ok(isInOrder, 'changes are told in order');
  const purges = purgesIn(seen);
  const ids = new Set(toldIn(seen).map(({ link }) => link.id));
  for (const id of ids) {
    const path = `/api/v1/links/id:${id}/history?`;
    if (purges.has(id)) {
      const { status } = await (hosts[0] as HttpService).ask('GET', path);
      t.equal(status, 404, 'what was purged has none');
      continue;
    }
    const history = (await readAll<HistoryEntry>(hosts[0] as HttpService, path)).toReversed();
    t.same(
      history.map(({ version }) => version),
      history.map((_, index) => index + 1),
    );
    const told = toldIn(seen).filter(({ link }) => link.id === id);
    const missing = told.filter(({ link: { version, seq, url } }) => {
      const entry = history[version - 1];
      return entry?.seq !== seq || entry.after.url !== url;
    });
    t.same(missing, [], 'every version that was answered is there as it was answered');
  }
}

/** The numbers of the changes that made a link lead there. */
function seqsByTarget(seen: readonly Seen[]): Map<string, number[]> {
  const seqs = new Map<string, number[]>();
  for (const { link } of toldIn(seen)) seqs.set(link.url, [...(seqs.get(link.url) ?? []), link.seq]);
  return seqs;
}

/** A host leads to what a key led to once, or to something later, but never back. */
function checkRedirects(t: Test, seen: readonly Seen[]): void {
  const seqsOf = seqsByTarget(seen);
  /** What was known when by a host, as the number of a change at least. */
  const known: { place: string; answeredAt: number; seq: number }[] = [];
  const wrong = seen
    .toSorted((one, other) => one.answeredAt - other.answeredAt)
    .filter(({ host, key, askedAt, answeredAt, link, target }) => {
      const place = `${host} ${key}`;
      const before = known.filter((at) => at.place === place && at.answeredAt < askedAt);
      if (link !== null) known.push({ place, answeredAt, seq: link.seq });
      if (target === null) return false;
      const seqs = target.startsWith(`https://example.com/${key}/`) ? (seqsOf.get(target) ?? []) : [];
      known.push({ place, answeredAt, seq: Math.min(...seqs) });
      return Math.max(...seqs) < Math.max(0, ...before.map(({ seq }) => seq));
    });
  t.same(wrong, [], 'no key leads elsewhere, or back');
}

/** A key that a host knew to lead somewhere leads nowhere only where somebody deleted, purged or reverted its link since. */
function checkMisses(t: Test, seen: readonly Seen[]): void {
  const isTaken = ({ kind, status }: Seen): boolean =>
    (kind === 'revert' && status === 200) || (['delete', 'purge'].includes(kind) && status === 204);
  const takers = seen.filter(isTaken);
  const givers = seen.filter(
    ({ kind, link, target }) => target !== null || (link !== null && kind !== 'revert'),
  );
  /** When the change began that it shows: what a redirect shows may be some seconds old. */
  const beganAt = ({ target, askedAt }: Seen): number => {
    const changes = toldIn(seen).filter(({ link, askedAt: at }) => link.url === target && at < askedAt);
    return Math.min(askedAt, ...changes.slice(-1).map((change) => change.askedAt));
  };
  const misses = seen.filter(({ kind, status }) => kind === 'follow' && status !== 302);
  const judged = misses.map((miss) => {
    const known = givers.filter((one) => one.key === miss.key && one.host === miss.host);
    return { miss, last: known.filter(({ answeredAt }) => answeredAt < miss.askedAt).at(-1) };
  });
  const surprising = judged.filter(({ last }) => last !== undefined);
  t.comment(`${misses.length} led nowhere, ${surprising.length} of them after the key had led somewhere`);
  const wrong = surprising.filter(
    ({ miss, last }) =>
      !takers.some(
        (one) =>
          one.key === miss.key && one.askedAt < miss.answeredAt && one.answeredAt > beganAt(last as Seen),
      ),
  );
  t.same(wrong, [], 'no key leads nowhere that nobody took away');
}

interface KeyState {
  readonly status: number;
  readonly target: string | null;
  /** Status and link that the API answers. */
  readonly shown: number;
  readonly id: number;
  readonly version: number;
  readonly url: string;
}

/** What a host answers for each key, and what its API shows. */
async function readKeys(host: HttpService): Promise<KeyState[]> {
  return Promise.all(
    KEYS.map(async (key) => {
      const { status, headers } = await host.ask('HEAD', `/${key}`, { key: null });
      const shown = await host.ask('GET', `/api/v1/links/${key}`);
      const { id, version, url } = shown.body as LinkBody;
      return { status, target: headers.get('location'), shown: shown.status, id, version, url };
    }),
  );
}

/** Redirects of both hosts do what the API of both shows. */
async function waitForAgreement(hosts: readonly HttpService[]): Promise<void> {
  await until(
    'both hosts agree',
    async () => {
      const [first = [], second] = await Promise.all(hosts.map(readKeys));
      return first.every(isAsShown) && JSON.stringify(first) === JSON.stringify(second);
    },
    AGREED_WITHIN_MS,
  );
}

function isAsShown({ status, target, shown, url }: KeyState): boolean {
  return shown === 200 ? status === 302 && target === url : status === shown;
}

/** The figures that are left of these links. */
async function countClicksOf(url: string, ids: readonly number[]): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ rows: string }>(
      `select (select count(*) from clicks where link_id = any($1))
         + (select count(*) from click_figures where link_id = any($1)) as rows`,
      [ids],
    );
    return Number(rows[0]?.rows);
  } finally {
    await client.end();
  }
}

async function main(): Promise<void> {
  const server = await startPostgres(t);

  await t.test('two hosts that change the same links at once keep one history of them', async (t) => {
    const url = await server.createDatabase(t);
    const env = { DATABASE_URL: url, KEY_CREATES_PER_MINUTE: '0' };
    const start = () => startHttp(t, { env, clock: REAL_CLOCK });
    const hosts = [await start(), await start()] as const;
    const startedAt = performance.now();
    const seen = await contend(hosts, createSeededRandom(t));
    t.comment(`${seen.length} requests in ${Math.round(performance.now() - startedAt)} ms`);
    checkStatuses(t, seen);
    await waitForAgreement(hosts);
    checkOrder(t, seen);
    checkRedirects(t, seen);
    checkMisses(t, seen);
    await checkHistory(t, hosts, seen);
    const purged = [...purgesIn(seen).keys()];
    t.comment(`${purged.length} purged, ${await countClicksOf(url, purged)} rows of theirs`);
    await until(
      'the clicks of what was purged are gone',
      async () => (await countClicksOf(url, purged)) === 0,
      PURGED_WITHIN_MS,
    );
  });

  await t.test('clicks on a host that did not know of a purge yet are purged too', async (t) => {
    const url = await server.createDatabase(t);
    const start = () => startHttp(t, { env: { DATABASE_URL: url }, clock: REAL_CLOCK });
    const [one, other] = [await start(), await start()];
    const ids: number[] = [];
    for (const key of KEYS) {
      const { id } = await makeLink(one.ask, { key, url: 'https://example.com/' });
      ids.push(id);
      const follow = () => other.ask('GET', `/${key}`, { key: null, headers: BROWSER });
      await until('the other host knows it', async () => (await follow()).status === 302);
      t.equal((await one.ask('DELETE', `/api/v1/links/id:${id}?purge=true`)).status, 204);
      await until('it is gone there', async () => (await follow()).status === 404);
    }
    await until('their clicks are gone', async () => (await countClicksOf(url, ids)) === 0, PURGED_WITHIN_MS);
  });
}

if (requireCommand(t, 'initdb')) await main();
