// Hosts that share a PostgreSQL: two services with a folder each.
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import { copyPathOf } from '../../app/store/sqlite/copy-files.ts';
import { ask as askPostgres } from '../../scripts/postgres-server.ts';
import { queryClicks } from '../support/clicks.ts';
import { findCopy } from '../support/copies.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { type HttpService, makeLink, startHttp } from '../support/http.ts';
import { type PostgresServer, query, startPostgres } from '../support/postgres.ts';
import { requireCommand } from '../support/requirement.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { until } from '../support/until.ts';

const BROWSER = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' };
const TARGET = 'https://example.com/1';
/** Databases have no fake clock. */
const REAL_CLOCK: FakeClock = {
  ...systemClock,
  advance: systemClock.sleep,
  moveWall: () => {
    throw new Error('Nobody sets the clock of this machine.');
  },
};
/** How soon a change is known on every host. */
const SEEN_WITHIN_MS = 5000;

let server: PostgresServer;

async function startHosts(t: Test): Promise<[HttpService, HttpService]> {
  const env = { DATABASE_URL: await server.createDatabase(t) };
  return [await startHttp(t, { env, clock: REAL_CLOCK }), await startHttp(t, { env, clock: REAL_CLOCK })];
}

async function follow(service: HttpService, key: string, headers: Record<string, string> = BROWSER) {
  const { status, headers: answered } = await service.ask('GET', `/${key}`, { key: null, headers });
  return { status, target: answered.get('location') };
}

async function statsOf(service: HttpService, key: string): Promise<{ clicks: number; visitors: number }> {
  const { body } = await service.ask('GET', `/api/v1/links/${key}/stats?reason=all`);
  return (body as { totals: { clicks: number; visitors: number } }).totals;
}

async function figuresOf(host: HttpService) {
  const text = String((await host.manage('GET', '/metrics')).body);
  const figure = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  return {
    circuit: /^fleetlink_database_circuit\{state="(\w+)"\} 1$/m.exec(text)?.[1],
    copyAge: figure('fleetlink_copy_age_seconds'),
    unshipped: figure('fleetlink_clicks_unshipped'),
  };
}

function countCopied(dataDir: string): number {
  const db = new Database(findCopy(dataDir), { readonly: true });
  try {
    return db.prepare<[], number>('select count(*) from links').pluck().get() as number;
  } finally {
    db.close();
  }
}

const MARK = 'the_one_before';

/** Tells a file from the next one: the number of a file that is gone is given to another one soon. */
function mark(path: string): void {
  const db = new Database(path);
  db.exec(`create table ${MARK} (x)`);
  db.close();
}

function isUnmarked(path: string): boolean {
  try {
    const db = new Database(path, { readonly: true });
    const marks = db.prepare('select 1 from sqlite_schema where name = ?').all(MARK);
    db.close();
    return marks.length === 0;
  } catch {
    // There is none, or what is there is no database.
    return false;
  }
}

async function main(): Promise<void> {
  server = await startPostgres(t);

  await t.test('a link is followed on every host, at once; a change within five seconds', async (t) => {
    const [one, other] = await startHosts(t);
    t.equal((await follow(other, 'autumn')).status, 404, 'and nobody remembers that there was none');
    await makeLink(one.ask, { key: 'autumn', url: TARGET });
    for (const host of [one, other]) t.same(await follow(host, 'autumn'), { status: 302, target: TARGET });
    const url = 'https://example.com/2';
    await one.ask('PATCH', '/api/v1/links/autumn', { body: { url } });
    t.equal((await follow(one, 'autumn')).target, url, 'on the host that made it at once');
    await until(
      'the other host knows',
      async () => (await follow(other, 'autumn')).target === url,
      SEEN_WITHIN_MS,
    );
    t.match((await other.ask('GET', '/api/v1/links/autumn')).body, { url, version: 2 });
    await other.ask('DELETE', '/api/v1/links/autumn');
    t.equal((await follow(other, 'autumn')).status, 410);
    await until('it is gone', async () => (await follow(one, 'autumn')).status === 410, SEEN_WITHIN_MS);
  });

  await t.test('of two hosts that want one key, one gets it', async (t) => {
    const hosts = await startHosts(t);
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        hosts.map(({ ask }, index) =>
          ask('POST', '/api/v1/links', { body: { key: `key${round}`, url: `https://example.com/${index}` } }),
        ),
      );
      t.same(answers.map(({ status }) => status).toSorted(), [201, 409]);
    }
  });

  await t.test('clicks of all hosts are counted together, whichever is asked', async (t) => {
    const hosts = await startHosts(t);
    await makeLink(hosts[0].ask, { key: 'autumn', url: TARGET });
    for (let time = 0; time < 10; time++) {
      for (const host of hosts)
        t.equal((await follow(host, 'autumn', { 'user-agent': `${time}` })).status, 302);
    }
    await until('both are counted', async () => (await statsOf(hosts[0], 'autumn')).clicks === 20);
    t.equal((await statsOf(hosts[1], 'autumn')).clicks, 20);
    t.match((await hosts[1].ask('GET', '/api/v1/links/autumn')).body, { key: 'autumn' });
    for (const { dataDir } of hosts) {
      await until('it is shipped', () => queryClicks(dataDir, 'select 1 from clicks').length === 0);
    }
  });

  await t.test('a visitor is the same on every host', async (t) => {
    const hosts = await startHosts(t);
    await makeLink(hosts[0].ask, { key: 'autumn', url: TARGET });
    for (const host of hosts) await follow(host, 'autumn');
    await until('both are counted', async () => (await statsOf(hosts[0], 'autumn')).clicks === 2);
    t.equal((await statsOf(hosts[0], 'autumn')).visitors, 1);
  });

  await t.test('a limit is used up once, on all hosts together', async (t) => {
    const hosts = await startHosts(t);
    await makeLink(hosts[0].ask, { key: 'few', url: TARGET, max_clicks: 25 });
    await until(
      'both know it',
      async () => (await hosts[1].ask('HEAD', '/few', { key: null })).status === 302,
    );
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => follow(hosts[index % 2] as HttpService, 'few')),
    );
    t.equal(answers.filter(({ status }) => status === 302).length, 25);
    t.equal(answers.filter(({ status }) => status === 410).length, 35);
    for (const host of hosts) t.equal((await host.ask('HEAD', '/few', { key: null })).status, 410);
    t.match((await hosts[1].ask('GET', '/api/v1/links/few')).body, { max_clicks: 25, max_clicks_used: 25 });
  });

  await t.test('whatever is asked of clicks is answered from the database that is shared', async (t) => {
    const [one, other] = await startHosts(t);
    await makeLink(one.ask, { key: 'autumn', url: TARGET, tags: ['print'] });
    const get = async (path: string) => (await other.ask('GET', `/api/v1${path}`)).body as never;
    for (const headers of [BROWSER, { 'user-agent': 'curl/8.7.1', referer: 'https://a.example/x' }]) {
      await follow(one, 'autumn', headers);
    }
    t.equal((await follow(one, 'autum')).status, 404);
    await until('both are counted', async () => (await statsOf(other, 'autumn')).clicks === 2);
    t.match(await get('/stats?tag=print&reason=all&interval=hour&tz=Asia/Kolkata'), {
      totals: { clicks: 2, by_reason: { human: 1, bot: 1 }, visitors: 1 },
      top: { referrers: [{ value: 'a.example' }, { value: null }] },
    });
    t.equal(((await get('/links/autumn/clicks')) as { items: unknown[] }).items.length, 2);
    t.match((await other.ask('GET', '/api/v1/links/autumn/clicks.csv')).body, /,bot,a\.example,/);
    t.match(await get('/clicks/storage'), { bytes: Number, clicks: { rows: 2, waiting: 0 } });
    t.match(await get('/links?q=autu'), { items: [{ key: 'autumn', clicks: 1 }] });
    await one.ask('GET', '/api/v1/unknown-keys');
    t.match(await get('/unknown-keys'), { items: [{ key: 'autum', near: ['autumn'] }] });
    t.equal((await other.ask('POST', '/api/v1/clicks:reclassify', { body: {} })).status, 202);
    await until(
      'it is done',
      async () => ((await get('/clicks:reclassify')) as { status: string }).status === 'done',
    );
    t.match(await get('/clicks:reclassify'), { read: 2, changed: [] });
    await other.ask('DELETE', '/api/v1/links/autumn?purge=true');
    await until('its clicks are gone', async () => {
      const { totals } = (await get('/stats?reason=all')) as { totals: { clicks: number } };
      return totals.clicks === 0;
    });
  });

  await t.test('two processes of a host follow a database each', async (t) => {
    const dataDir = t.testdir();
    const start = async () =>
      startHttp(t, { dataDir, env: { DATABASE_URL: await server.createDatabase(t) }, clock: REAL_CLOCK });
    const before = await start();
    for (const key of ['one', 'two']) await makeLink(before.ask, { key, url: TARGET });
    t.equal((await follow(before, 'one')).status, 302);
    const after = await start();
    t.equal((await follow(after, 'one')).status, 404);
    await makeLink(after.ask, { key: 'one', url: 'https://example.com/new' });
    t.equal((await follow(after, 'one')).target, 'https://example.com/new');
    t.equal((await follow(after, 'two')).status, 404);
    t.equal((await follow(before, 'one')).target, TARGET);
    t.equal((await follow(before, 'two')).target, TARGET);
    await until('clicks come to the database of their link', async () => {
      const counts = [await statsOf(before, 'one'), await statsOf(after, 'one')].map(({ clicks }) => clicks);
      return counts.join() === '2,1';
    });
  });

  await t.test('where a database is made anew a host that runs begins anew with it', async (t) => {
    const DATABASE_URL = await server.createDatabase(t);
    const start = () => startHttp(t, { env: { DATABASE_URL }, clock: REAL_CLOCK });
    const host = await start();
    for (const key of ['one', 'two']) await makeLink(host.ask, { key, url: TARGET });
    t.equal((await follow(host, 'one')).status, 302);
    await until('it is shipped', async () => (await statsOf(host, 'one')).clicks === 1);
    const [{ name } = {}] = await query(DATABASE_URL, 'select current_schema as name');
    await query(DATABASE_URL, `drop schema ${name} cascade`);
    t.equal((await follow(host, 'two')).status, 302, 'its copy answers');
    await query(DATABASE_URL, `create schema ${name}`);
    const other = await start();
    await until('it has begun anew', async () => (await follow(host, 'two')).status === 404);
    t.match(
      host.log().find(({ msg }) => String(msg).includes('is another one')),
      { level: 'warn' },
    );
    await until('it takes links', async () => {
      const { status } = await host.ask('PUT', '/api/v1/links/one', { body: { url: TARGET } });
      return status === 201 || status === 200;
    });
    t.equal((await follow(host, 'one')).status, 302);
    t.equal((await follow(other, 'one')).status, 302);
    await until('both are counted', async () => (await statsOf(other, 'one')).clicks === 2);
    t.match(
      host.log().find(({ msg }) => String(msg).includes('belong to another database')),
      { level: 'warn' },
    );
  });

  await t.test('a host that was away while the database lost changes finds them out', async (t) => {
    const env = { DATABASE_URL: await server.createDatabase(t) };
    const dataDir = t.testdir();
    const start = () => startHttp(t, { dataDir, env, clock: REAL_CLOCK });
    const before = await start();
    const lostUrl = 'https://example.com/lost';
    for (const key of ['kept', 'changed']) await makeLink(before.ask, { key, url: TARGET });
    await before.ask('PATCH', '/api/v1/links/changed', { body: { url: lostUrl } });
    await makeLink(before.ask, { key: 'lost', url: TARGET });
    for (const key of ['kept', 'changed', 'lost']) t.equal((await follow(before, key)).status, 302);
    await before.stop();
    // What a standby is that has not heard of the last two changes.
    await query(
      env.DATABASE_URL,
      `delete from events where seq > 2; delete from links where key = 'lost';
       update links set url = '${TARGET}', version = 1, seq = 2 where key = 'changed';
       update sequences set value = 2 where name = 'event'`,
    );
    await server.kill();
    await server.start();
    const other = await startHttp(t, { env, clock: REAL_CLOCK });
    for (let time = 0; time < 5; time++) await makeLink(other.ask, { url: `${TARGET}/${time}` });
    const after = await start();
    t.equal((await follow(after, 'kept')).status, 302);
    await until(
      'it has the target that the database has',
      async () => (await follow(after, 'changed')).target === TARGET,
    );
    await until('what was lost is gone', async () => (await follow(after, 'lost')).status === 404);
    t.equal(countCopied(dataDir), 7);
    t.match(
      after.log().find(({ msg }) => /another server took over/.test(String(msg))),
      { level: 'warn' },
    );
  });

  await t.test('a new host knows the links that were there, without asking for each', async (t) => {
    const env = { DATABASE_URL: await server.createDatabase(t) };
    const first = await startHttp(t, { env, clock: REAL_CLOCK });
    await makeLink(first.ask, { key: 'autumn', url: TARGET });
    const second = await startHttp(t, { env, clock: REAL_CLOCK });
    await until('its copy is filled', () => countCopied(second.dataDir) === 1);
    t.same(await follow(second, 'autumn'), { status: 302, target: TARGET });
  });

  await t.test(
    'any number of changes reach the other hosts, and any number of links a new one',
    async (t) => {
      const env = { DATABASE_URL: await server.createDatabase(t), KEY_CREATES_PER_MINUTE: '0' };
      const one = await startHttp(t, { env, clock: REAL_CLOCK });
      const other = await startHttp(t, { env, clock: REAL_CLOCK });
      const links = Array.from({ length: 700 }, (_, index) => ({
        key: `k${index}`,
        url: `${TARGET}/${index}`,
      }));
      t.equal((await one.ask('POST', '/api/v1/links:batch', { body: { links } })).status, 201);
      const third = await startHttp(t, { env, clock: REAL_CLOCK });
      for (const { dataDir } of [other, third]) {
        await until('all are there', () => countCopied(dataDir) === 700);
      }
      t.equal((await follow(third, 'k699')).target, `${TARGET}/699`);
    },
  );

  await t.test('a host starts without its database, and has it when it comes', async (t) => {
    const env = { DATABASE_URL: await server.createDatabase(t), STALE_MAX_SECONDS: '3600' };
    await server.kill();
    const host = await startHttp(t, { env, clock: REAL_CLOCK });
    t.match((await host.ask('GET', '/readyz')).body, { status: 'degraded', reasons: ['database'] });
    t.equal((await follow(host, 'autumn')).status, 503);
    t.ok(host.log().some(({ msg }) => String(msg).startsWith('the admin API key could not be looked at')));
    await until('it has tried once more', () =>
      host.log().some(({ msg }) => msg === 'the admin API key cannot be looked at yet'),
    );
    await server.start();
    await until('it is ready', async () => {
      const { body } = await host.ask('GET', '/readyz');
      return (body as { status: string }).status === 'ready';
    });
    t.equal((await follow(host, 'autumn')).status, 404);
    await until('it knows its admin key', async () => {
      const { status } = await host.ask('POST', '/api/v1/links', { body: { url: TARGET } });
      return status === 201;
    });
    await until('it says so', () => host.log().some(({ msg }) => msg === 'the admin API key is in place'));
  });

  await t.test('clicks that cannot be read wait, and are shipped when they can', async (t) => {
    const [host] = await startHosts(t);
    await makeLink(host.ask, { key: 'autumn', url: TARGET });
    const db = new Database(join(host.dataDir, 'clicks.db'));
    t.teardown(() => db.close());
    db.exec('alter table segments rename to gone; alter table clicks rename to away');
    t.equal((await follow(host, 'autumn')).status, 302);
    t.same((await figuresOf(host)).unshipped, Number.NaN);
    await until('it is told', () =>
      host.log().some(({ msg }) => msg === 'the database cannot be asked to ship clicks'),
    );
    db.exec('alter table gone rename to segments; alter table away rename to clicks');
    await until('it is counted', async () => (await statsOf(host, 'autumn')).clicks === 1);
  });

  await t.test('a host that stops ships its clicks first, or says that it could not', async (t) => {
    const [one, other] = await startHosts(t);
    await makeLink(one.ask, { key: 'autumn', url: TARGET });
    await follow(one, 'autumn');
    await one.stop();
    t.equal((await statsOf(other, 'autumn')).clicks, 1);
    t.equal((await follow(other, 'autumn')).status, 302);
    await server.kill();
    try {
      t.equal((await follow(other, 'autumn')).status, 302);
      await other.stop();
      t.ok(other.log().some(({ msg }) => String(msg).startsWith('the last clicks stay on this host')));
      t.ok(queryClicks(other.dataDir, 'select 1 from clicks').length >= 1);
    } finally {
      await server.start();
    }
  });

  await t.test('a drain is of one host', async (t) => {
    const [one, other] = await startHosts(t);
    t.equal((await one.manage('POST', '/drain')).status, 200);
    t.same(
      [(await one.ask('GET', '/readyz')).status, (await other.ask('GET', '/readyz')).status],
      [503, 200],
    );
    t.equal((await one.manage('DELETE', '/drain')).status, 200);
    t.equal((await one.ask('GET', '/readyz')).status, 200);
  });

  await t.test('a copy that cannot be written costs no redirect', async (t) => {
    const [one, other] = await startHosts(t);
    const db = new Database(findCopy(other.dataDir));
    t.teardown(() => db.close());
    await makeLink(one.ask, { key: 'autumn', url: TARGET });
    db.exec('alter table sequences rename to gone; alter table events rename to away');
    t.same(await follow(other, 'autumn'), { status: 302, target: TARGET });
    db.exec('alter table gone rename to sequences; alter table away rename to events');
    t.ok(other.log().some(({ msg }) => msg === 'a link could not be written to the copy'));
  });

  await t.test(
    'on a full disk a change is followed at once, on the host that made it and others',
    async (t) => {
      const disk = mountSmallDisk(t, 8192);
      if (disk === null) return;
      const env = { DATABASE_URL: await server.createDatabase(t) };
      const full = await startHttp(t, { dataDir: disk.path, env, clock: REAL_CLOCK });
      const other = await startHttp(t, { env, clock: REAL_CLOCK });
      for (const key of ['autumn', 'gone', 'winter']) await makeLink(full.ask, { key, url: TARGET });
      const reasonsOf = async () =>
        ((await full.ask('GET', '/readyz')).body as { reasons: readonly string[] }).reasons;
      disk.fill();
      let url = TARGET;
      for (let time = 1; !(await reasonsOf()).includes('copy'); time++) {
        // What was given back to the disk in between is taken too.
        url = `https://example.com/${'long'.repeat(400)}/${time}`;
        t.equal((await full.ask('PATCH', '/api/v1/links/autumn', { body: { url } })).status, 200);
        t.equal((await follow(full, 'autumn')).target, url);
      }
      t.equal((await full.ask('DELETE', '/api/v1/links/gone')).status, 204);
      t.equal((await follow(full, 'gone')).status, 410);
      await other.ask('PATCH', '/api/v1/links/winter', { body: { url } });
      await until('it hears of others', async () => (await follow(full, 'winter')).target === url);
      // Longer than a database may be silent that is not called away.
      await systemClock.sleep(6000);
      t.equal((await follow(full, 'winter')).target, url);
      t.notOk((await reasonsOf()).includes('database'), String(await reasonsOf()));
      disk.free();
      await until('it is written', async () => !(await reasonsOf()).includes('copy'));
      t.equal((await follow(full, 'autumn')).target, url);
      t.equal((await follow(full, 'gone')).status, 410);
      await full.stop();
      const again = await startHttp(t, { dataDir: disk.path, env, clock: REAL_CLOCK });
      t.equal((await follow(again, 'winter')).target, url);
    },
  );

  await t.test('a copy that cannot be read at the start costs no redirect', async (t) => {
    const env = { DATABASE_URL: await server.createDatabase(t) };
    const other = await startHttp(t, { env, clock: REAL_CLOCK });
    await makeLink(other.ask, { key: 'autumn', url: TARGET });
    const folder = t.testdir({ damaged: {}, unreadable: {} });
    const accidents: Readonly<Record<string, (path: string) => void>> = {
      damaged: (path) => writeFileSync(path, 'garbage '.repeat(1000)),
      unreadable: (path) => mkdirSync(path),
    };
    for (const [name, spoil] of Object.entries(accidents)) {
      const dataDir = join(folder, name);
      spoil(copyPathOf(dataDir, env.DATABASE_URL));
      const host = await startHttp(t, { dataDir, env, clock: REAL_CLOCK });
      t.equal((await follow(host, 'autumn')).status, 302, name);
    }
  });

  await t.test('a copy that is lost or damaged while it is used costs no redirect', async (t) => {
    const [host] = await startHosts(t);
    const path = findCopy(host.dataDir);
    await makeLink(host.ask, { key: 'autumn', url: TARGET });
    const statusOf = async () => (await host.ask('GET', '/readyz')).body as { status: string };
    const accidents = [
      () => rmSync(path),
      () => writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage ')),
    ];
    for (const happen of accidents) {
      mark(path);
      happen();
      for (let time = 0; time < 20; time++) t.equal((await follow(host, 'autumn')).status, 302);
      await until('there is a new one', () => isUnmarked(path));
      await until('it is filled', () => countCopied(host.dataDir) === 1);
      t.equal((await follow(host, 'autumn')).target, TARGET);
      t.equal((await statusOf()).status, 'ready');
    }
    t.ok(host.log().some(({ msg }) => /it is made anew/.test(String(msg))));
    await server.kill();
    try {
      await until('the database is known to be away', async () => (await statusOf()).status === 'degraded');
      const connection = new Database(path);
      connection.exec('drop table links');
      connection.close();
      t.match(await statusOf(), { status: 'unready', reasons: ['copy'] }, 'nobody can be asked');
    } finally {
      await server.start();
    }
    await until('it is ready again', async () => (await statusOf()).status === 'ready');
    t.equal((await follow(host, 'autumn')).status, 302);
  });

  await t.test('a database that was made for newer releases meanwhile is left alone', async (t) => {
    const url = await server.createDatabase(t);
    const host = await startHttp(t, { env: { DATABASE_URL: url }, clock: REAL_CLOCK });
    await makeLink(host.ask, { key: 'autumn', url: TARGET });
    const schema = /search_path=(\w+),/.exec(new URL(url).searchParams.get('options') ?? '')?.[1];
    const setReadableFrom = (from: number) =>
      askPostgres(url, `update ${schema}.click_schema_state set readable_from = ${from}`);
    await setReadableFrom(99);
    await until('it says so', async () => {
      const { body } = await host.ask('GET', '/readyz');
      return (body as { reasons: string[] }).reasons.includes('database');
    });
    t.match(await host.ask('POST', '/api/v1/links', { body: { url: TARGET } }), {
      status: 503,
      body: { error: /not one that this release can work with/ },
    });
    t.equal((await follow(host, 'autumn')).status, 302);
    await setReadableFrom(1);
    await until('it goes on', async () => {
      const { body } = await host.ask('GET', '/readyz');
      return (body as { status: string }).status === 'ready';
    });
    t.equal((await host.ask('POST', '/api/v1/links', { body: { url: TARGET } })).status, 201);
  });

  await t.test('a host that started without its database tells that it is not one for it', async (t) => {
    const url = await server.createDatabase(t);
    await server.kill();
    const host = await startHttp(t, { env: { DATABASE_URL: url, MIGRATE: 'check' }, clock: REAL_CLOCK });
    await server.start();
    await until('it has asked', async () => {
      const { body } = await host.ask('POST', '/api/v1/links', { body: { url: TARGET } });
      return /not one that this release can work with/.test((body as { error: string }).error);
    });
  });

  await t.test('a start that fails leaves nothing open', async (t) => {
    const dataDir = t.testdir();
    const env = { DATABASE_URL: await server.createDatabase(t) };
    await (await startHttp(t, { dataDir, env, clock: REAL_CLOCK })).stop();
    const db = new Database(join(dataDir, 'clicks.db'));
    db.exec('update click_schema_state set version = 99, readable_from = 99');
    db.close();
    await t.rejects(startHttp(t, { dataDir, env, clock: REAL_CLOCK }), { name: 'StartError' });
  });

  for (const [kind, take, giveBack] of [
    ['is killed', () => server.kill(), () => server.start()],
    ['does not answer', async () => server.freeze(), async () => server.thaw()],
  ] as const) {
    await t.test(
      `while the database ${kind} known links redirect, and nothing else is pretended`,
      async (t) => {
        const [host] = await startHosts(t);
        await makeLink(host.ask, { key: 'autumn', url: TARGET });
        await makeLink(host.ask, { key: 'few', url: TARGET, max_clicks: 5 });
        t.equal((await follow(host, 'autumn')).status, 302);
        t.equal((await follow(host, 'few')).status, 302);
        await take();
        try {
          for (let time = 0; time < 20; time++) t.equal((await follow(host, 'autumn')).status, 302);
          t.equal((await follow(host, 'never-seen')).status, 503);
          t.equal((await follow(host, 'few')).status, 503);
          t.equal((await host.ask('POST', '/api/v1/links', { body: { url: TARGET } })).status, 503);
          await until('it says so', async () => {
            const { status, body } = await host.ask('GET', '/readyz');
            return status === 200 && (body as { reasons: string[] }).reasons.includes('database');
          });
        } finally {
          await giveBack();
        }
        await until('it is ready again', async () => {
          const { body } = await host.ask('GET', '/readyz');
          return (body as { status: string }).status === 'ready';
        });
        t.equal((await follow(host, 'never-seen')).status, 404);
        t.equal((await follow(host, 'few')).status, 302);
        await until(
          'what was clicked meanwhile is counted',
          async () => (await statsOf(host, 'autumn')).clicks === 21,
        );
      },
    );
  }
}

if (requireCommand(t, 'initdb')) await main();
