// `clicks` of links: what they count, what reading them costs, and what happens to them.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openClicks, readTiers } from '../support/click-tables.ts';
import { type Ask, type HttpService, makeKey, makeLink, START, startHttp } from '../support/http.ts';
import { watchStatements } from '../support/statements.ts';
import { until } from '../support/until.ts';

const URL_ = 'https://example.com/';
const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';

/** Follows a link as a person, another one each time. */
async function follow(ask: Ask, key: string, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) {
    await ask('GET', `/${key}`, { key: null, headers: { 'user-agent': `${BROWSER} ${Math.random()}` } });
  }
}

async function clicksOf(ask: Ask, key: string): Promise<unknown> {
  const { body } = await ask('GET', `/api/v1/links/${key}`);
  return (body as { clicks: unknown }).clicks;
}

/** Lets the background work once. */
async function pass({ clock }: HttpService, ms = 1000): Promise<void> {
  await clock.advance(ms);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

t.test('a link shows how often people followed it, at once', async (t) => {
  const { ask } = await startHttp(t);
  const made = await makeLink(ask, { key: 'autumn', url: URL_ });
  t.equal(made.clicks, 0);
  await follow(ask, 'autumn', 3);
  await ask('GET', '/autumn', { key: null, headers: { 'user-agent': 'Googlebot/2.1' } });
  await ask('HEAD', '/autumn', { key: null });
  t.equal(await clicksOf(ask, 'autumn'), 3);
  const { body } = await ask('GET', '/api/v1/links');
  t.match(body, { items: [{ key: 'autumn', clicks: 3 }] });
});

t.test('clicks belong to the link and not to its key', async (t) => {
  const { ask } = await startHttp(t);
  const { id } = await makeLink(ask, { key: 'autumn', url: URL_ });
  await follow(ask, 'autumn', 2);
  await ask('DELETE', '/api/v1/links/autumn');
  t.equal(await clicksOf(ask, `id:${id}`), 2);
  await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 1 } });
  t.equal(await clicksOf(ask, 'autumn'), 2);
});

t.test('whoever changes a link does not wait until its clicks are counted', async (t) => {
  const service = await startHttp(t);
  const { ask } = service;
  await makeLink(ask, { key: 'autumn', url: URL_ });
  await follow(ask, 'autumn');
  const patch = () => ask('PATCH', '/api/v1/links/autumn', { body: { title: String(Math.random()) } });
  t.match(await patch(), { body: { clicks: 0 } });
  await pass(service);
  t.match(await patch(), { body: { clicks: 1 } });
});

t.test('the number of statements does not depend on the number of links', async (t) => {
  const { ask } = await startHttp(t);
  const links = Array.from({ length: 60 }, (_, index) => ({ key: `k${index}`, url: `${URL_}${index}` }));
  await ask('POST', '/api/v1/links:batch', { body: { links } });
  const watch = watchStatements(t);
  const count = async (method: string, path: string, body?: unknown) => {
    // The first time prepares what later calls find ready, and notes down that the key was used.
    await ask(method, path, body === undefined ? {} : { body: typeof body === 'function' ? body() : body });
    watch.take();
    await ask(method, path, body === undefined ? {} : { body: typeof body === 'function' ? body() : body });
    const files = watch.take().map(({ file }) => file);
    return {
      links: files.filter((file) => file === 'links.db').length,
      clicks: files.filter((file) => file === 'clicks.db').length,
    };
  };
  let next = 0;
  const batchOf = (size: number) => () => ({
    links: Array.from({ length: size }, () => ({ key: `b${next++}`, url: URL_ })),
  });
  const few = {
    list: await count('GET', '/api/v1/links?limit=2'),
    batch: await count('POST', '/api/v1/links:batch', batchOf(1)),
  };
  t.same(
    {
      list: await count('GET', '/api/v1/links?limit=50'),
      search: await count('GET', '/api/v1/links?q=k1&limit=50'),
      get: await count('GET', '/api/v1/links/k1'),
      history: await count('GET', '/api/v1/links/k1/history'),
      events: await count('GET', '/api/v1/events?limit=50'),
      each: (await count('POST', '/api/v1/links:batch', () => ({ ...batchOf(30)(), atomic: false }))).clicks,
      batch: (await count('POST', '/api/v1/links:batch', batchOf(30))).clicks,
    },
    {
      list: few.list,
      search: { links: 6, clicks: 2 },
      get: { links: 2, clicks: 2 },
      history: { links: 3, clicks: 0 },
      events: { links: 2, clicks: 0 },
      each: 1,
      batch: few.batch.clicks,
    },
  );
  t.equal(few.list.clicks, 2, 'is anything new? · how many?');
});

t.test('while clicks cannot be read links are shown without them', async (t) => {
  // A folder in its place.
  const service = await startHttp(t, { dataDir: t.testdir({ 'clicks.db': {} }) });
  const { ask, log } = service;
  await makeLink(ask, { key: 'autumn', url: URL_ });
  t.equal(await clicksOf(ask, 'autumn'), null);
  t.match((await ask('GET', '/api/v1/links')).body, { items: [{ clicks: null }] });
  t.equal((await ask('GET', '/api/v1/clicks/storage')).status, 503);
  await pass(service);
  const told = log()
    .filter(({ msg }) => /clicks/.test(String(msg)))
    .map(({ msg }) => msg);
  t.same(told.sort(), [
    'clicks are stored and cannot be counted',
    'clicks cannot be stored and wait in memory',
    'links are shown without their clicks',
    'purged or lost clicks cannot be looked for',
  ]);
});

t.test('a purge takes the clicks of the link with it, and only these', async (t) => {
  const service = await startHttp(t);
  const { ask, dataDir } = service;
  const { id } = await makeLink(ask, { key: 'autumn', url: URL_ });
  const { id: other } = await makeLink(ask, { key: 'winter', url: URL_ });
  await follow(ask, 'autumn', 3);
  await follow(ask, 'winter');
  await ask('DELETE', '/api/v1/links/autumn?purge=true');
  await pass(service);
  t.same(readTiers(dataDir).totals, { '0 human': 1, [`${other} human`]: 1 });
  const db = openClicks(dataDir);
  t.same(db.prepare('select distinct link_id from clicks').pluck().all(), [other]);
  t.same(db.prepare(`select * from click_index where link_id = ${id}`).all(), []);
  db.close();
});

t.test('clicks of a purged link that were stored late are purged in the night', async (t) => {
  const service = await startHttp(t);
  const { ask, dataDir, context } = service;
  const { id } = await makeLink(ask, { key: 'autumn', url: URL_ });
  await ask('DELETE', '/api/v1/links/autumn?purge=true');
  await pass(service);
  const late = { linkId: id, atMs: Date.parse(START), reason: 'human' as const };
  const nothing = { visitor: null, agent: null, referrer: null, language: null, country: null };
  context.store.clicks.journal.append([{ click: { ...late, ...nothing }, quota: null }]);
  await pass(service);
  t.same(readTiers(dataDir).totals, { '0 human': 1, [`${id} human`]: 1 });
  await context.store.tiers.purgeAgain();
  await pass(service);
  t.same(readTiers(dataDir).totals, {});
});

t.test('clicks that went with a file are told, in the log and in the metrics', async (t) => {
  const service = await startHttp(t);
  const { ask, manage, dataDir, log } = service;
  await makeLink(ask, { key: 'autumn', url: URL_ });
  const readDrift = async () =>
    /^fleetlink_ledger_drift (\d+)$/m.exec(String((await manage('GET', '/metrics')).body))?.[1];
  t.equal(await readDrift(), '0');
  await follow(ask, 'autumn', 5);
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `clicks.db${suffix}`));
  await service.clock.advance(1001);
  await follow(ask, 'autumn', 2);
  const told = await until('the recount', async () => {
    await pass(service);
    return log().find(({ msg }) => msg === 'clicks were recounted, and the books are wrong');
  });
  t.match(told, { level: 'error', lost: 5, missing: 0, totals: 0, tiers: 0, drift: 5 });
  t.equal(await readDrift(), '5');
});

t.test('the administrator sees what clicks take', async (t) => {
  const service = await startHttp(t, { env: { CLICK_QUARTER_DAYS: '0' } });
  const { ask } = service;
  const key = await makeKey(ask, ['links:write']);
  t.equal((await ask('GET', '/api/v1/clicks/storage', { key })).status, 403);
  const { body: empty } = await ask('GET', '/api/v1/clicks/storage');
  const none = {
    oldest_quarter_at: null,
    oldest_day_at: null,
    oldest_detail_at: null,
    oldest_visitors_at: null,
  };
  const { bytes } = empty as { bytes: number };
  t.same(empty, {
    bytes,
    clicks: { rows: 0, waiting: 0, bytes: 0, oldest_at: null, kept_days: 90 },
    counts: { bytes, ...none, quarters_kept_days: null },
  });
  await makeLink(ask, { key: 'autumn', url: URL_ });
  await follow(ask, 'autumn', 2);
  t.match((await ask('GET', '/api/v1/clicks/storage')).body, {
    clicks: { rows: 2, waiting: 2, bytes: 124, oldest_at: START },
  });
  await pass(service);
  t.match((await ask('GET', '/api/v1/clicks/storage')).body, {
    clicks: { rows: 2, waiting: 0 },
    counts: {
      oldest_quarter_at: START,
      oldest_day_at: null,
      oldest_detail_at: '2026-01-31T00:00:00.000Z',
      oldest_visitors_at: '2026-01-31T00:00:00.000Z',
    },
  });
});
