// What hosts that share a database do with each other's clicks: each recounts its own and those of the others, and one of them at a time
// does what is done for all.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import t, { type Test } from 'tap';
import { createNight } from '../../app/clicks/night.ts';
import { createRecounter, type Recount } from '../../app/clicks/recount.ts';
import type { Store } from '../../app/store/store.ts';
import { ask } from '../../scripts/postgres-server.ts';
import { clickOn, entriesOn } from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { openStore } from '../support/store.ts';
import { until } from '../support/until.ts';

async function openHost(t: Test, databaseUrl: string): Promise<Store> {
  const store = await openStore({ dataDir: makeFolder(t), databaseUrl });
  t.teardown(store.close);
  return store;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** The night of a host whose clock is wrong by so much. */
function nightOf({ tiers }: Store, wrongByMs: number) {
  const clock = createFakeClock(Date.now() + wrongByMs);
  return createNight({
    tiers,
    clock,
    pacer: createIdlePacer(clock),
    holder: randomUUID(),
    retention: { clickDays: 90, quarterDays: 730 },
    recount: async () => undefined,
  });
}

/** The first column of what a query answers; `$` stands before the name of a table. */
async function readColumn(databaseUrl: string, query: string): Promise<unknown[]> {
  const schema = /search_path=(\w+),/.exec(new URL(databaseUrl).searchParams.get('options') ?? '')?.[1];
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const text = query.replaceAll('$', `${schema}.`);
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
    return rows.map(([value]) => Number(value));
  } finally {
    await client.end();
  }
}

/** As the process would that stored `counted` clicks. */
async function recount(store: Store, counted: number): Promise<Recount | null> {
  const readOwn = () => {
    const { name, sequence } = store.clicks.segment();
    return { segment: name, sequence, counted };
  };
  return createRecounter({ tiers: store.tiers, readOwn })(() => false);
}

async function main(server: PostgresServer): Promise<void> {
  await t.test('each host finds a click that is missing, whoever stored it', async (t) => {
    const url = await server.createDatabase(t);
    const [one, other] = [await openHost(t, url), await openHost(t, url)];
    one.clicks.journal.append(entriesOn(1, 1, 2));
    other.clicks.journal.append(entriesOn(1, 2));
    for (const { sharing } of [one, other]) await sharing?.ship();
    while ((await one.tiers.fold(100)).clicks > 0);
    const right = { lost: 0, missing: 0, totals: 0, tiers: 0, drift: 0 };
    t.same(await recount(one, 3), right);
    t.same(await recount(other, 2), right);
    other.clicks.journal.append(entriesOn(2));
    t.same(await recount(other, 3), right, 'what is on its own disk is brought first');
    const schema = /search_path=(\w+),/.exec(new URL(url).searchParams.get('options') ?? '')?.[1];
    await ask(url, `delete from ${schema}.clicks where id = (select min(id) from ${schema}.clicks)`);
    t.same(await recount(one, 3), { ...right, lost: 1, drift: 1 });
    t.same(await recount(other, 3), { ...right, missing: 1, drift: 1 });
  });

  await t.test('a host that has made no links needs no move', async (t) => {
    const dataDir = makeFolder(t);
    await (await openStore({ dataDir })).close();
    const host = await openStore({ dataDir, databaseUrl: await server.createDatabase(t) });
    t.equal(await host.links.lookup('autumn'), null);
    await host.close();
  });

  await t.test('who is only to migrate is no use without the database', async (t) => {
    const given = { dataDir: makeFolder(t), databaseUrl: 'postgres://app@127.0.0.1:1/none' };
    await t.rejects(openStore({ ...given, needsDatabase: true }), {
      name: 'StartError',
      message: /The database 127\.0\.0\.1:1\/none cannot be used/,
    });
  });

  await t.test('clicks go to the database that they were made for, and no other', async (t) => {
    const [url, other] = [await server.createDatabase(t), await server.createDatabase(t)];
    const dataDir = makeFolder(t);
    const told: string[] = [];
    const work = async (databaseUrl: string, clicks: number) => {
      const store = await openStore({
        dataDir,
        databaseUrl,
        onTrouble: (trouble, error) => void (error === null && told.push(trouble)),
      });
      try {
        // As a host that has come up.
        await store.sharing?.ship();
        if (clicks > 0) store.clicks.journal.append(entriesOn(clicks));
        if (databaseUrl === other) await store.sharing?.ship();
        return (await store.tiers.fold(100)).clicks;
      } finally {
        await store.close();
      }
    };
    t.equal(await work(url, 2), 0);
    t.equal(await work(other, 1), 1, 'what was made there is shipped there');
    t.match(
      told.find((trouble) => trouble.includes('clicks')),
      /^1 clicks on this host belong to another database and are kept; start the host with the DATABASE_URL of before/,
    );
    t.equal(await work(url, 0), 1, 'and what was made before goes where it belongs');
  });

  await t.test('a lease goes by the clock of the database, whatever hosts think that it is', async (t) => {
    const url = await server.createDatabase(t);
    const [one, other] = [await openHost(t, url), await openHost(t, url)];
    const name = randomUUID();
    t.ok(await one.tiers.takeLease({ name, holder: 'one', nowMs: Date.now() - DAY_MS, forMs: 1000 }));
    t.notOk(await other.tiers.takeLease({ name, holder: 'other', nowMs: Date.now() + DAY_MS, forMs: 1000 }));
    await until('it is over', () =>
      other.tiers.takeLease({ name, holder: 'other', nowMs: Date.now() - DAY_MS, forMs: 60_000 }),
    );
    t.notOk(await one.tiers.takeLease({ name, holder: 'one', nowMs: Date.now() + DAY_MS, forMs: 1000 }));
  });

  for (const years of [-3, 3]) {
    await t.test(`a host whose clock is wrong by ${years} years removes only what is old`, async (t) => {
      const url = await server.createDatabase(t);
      const host = await openHost(t, url);
      const today = Math.floor(Date.now() / DAY_MS);
      for (const day of [today - 100, today]) {
        host.clicks.journal.append([{ click: clickOn(1, { atMs: day * DAY_MS }), quota: null }]);
      }
      await host.sharing?.ship();
      while ((await host.tiers.fold(100)).clicks > 0);
      const readSalts = () => readColumn(url, `select day from $salts where day <= ${today} order by day`);
      await until('the host has a salt', async () => (await readSalts()).length === 1);
      await readColumn(url, `insert into $salts values (${today - 1}, 'old')`);
      const night = nightOf(host, years * 365 * DAY_MS);
      await readColumn(url, 'update $segments set started_at_ms = 0');
      await host.tiers.noteSeen(host.clicks.segment().name, Date.now() + years * 365 * DAY_MS);
      await night.forgetVisitors();
      t.same(await readSalts(), [today]);
      await night.run(() => false);
      t.same(await readColumn(url, 'select at_ms from $clicks'), [today * DAY_MS]);
      t.same(await readColumn(url, 'select quarter from $click_quarters where link_id = 1'), [
        (today - 100) * 96,
        today * 96,
      ]);
      t.same(await readColumn(url, 'select is_over from $segments'), [0]);
      t.equal(await host.tiers.readNight(), today);
    });
  }
}

if (requireCommand(t, 'initdb')) await main(await startPostgres(t));
