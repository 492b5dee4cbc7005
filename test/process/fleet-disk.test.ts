// What becomes of the clicks of a host that dies: with its disk they arrive once it starts again; without it those are lost that were
// not shipped yet, which /metrics tells. PROVE=1: 50 kills, else 4.

import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { findWrong, makeLinks, sumOf } from '../support/click-proof.ts';
import { query, startPostgres } from '../support/postgres.ts';
import { IS_PROOF } from '../support/property.ts';
import { type RedirectLoad, startRedirectLoad } from '../support/redirect-load.ts';
import { buildRelease } from '../support/release.ts';
import { requireCommand } from '../support/requirement.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { startServer, untilKeyWorks } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const KILLS = IS_PROOF ? 50 : 4;
const MOMENT_MS = { min: 50, max: 1500 };
const LINKS = 200;
const CONNECTIONS = 16;
const SETTLED_WITHIN_MS = 120_000;

async function countShipped(databaseUrl: string): Promise<Map<string, number>> {
  const rows = await query(
    databaseUrl,
    'select key, count(*)::int as clicks from clicks join links on links.id = link_id group by key',
  );
  return new Map(rows.map(({ key, clicks }) => [key as string, clicks as number]));
}

async function readUnshipped(managementUrl: string): Promise<number> {
  const text = String((await ask('GET', `${managementUrl}/metrics`)).body);
  return Number(/^fleetlink_clicks_unshipped (\d+)$/m.exec(text)?.[1]);
}

function startLoad(url: string, { keys, random }: { keys: readonly string[]; random: Random }): RedirectLoad {
  return startRedirectLoad({ url, connections: CONNECTIONS, keys, random, reconnects: false });
}

function add(sums: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [key, count] of counts) sums.set(key, (sums.get(key) ?? 0) + count);
}

async function main(t: Test): Promise<void> {
  const server = await startPostgres(t);
  const release = await buildRelease(t);

  await t.test('a host that is killed again and again ships each click once', async (t) => {
    const random = createSeededRandom(t);
    const databaseUrl = await server.createDatabase(t);
    const options = { dataDir: makeFolder(t), release, env: { DATABASE_URL: databaseUrl } };
    let host = await startServer(t, options);
    await untilKeyWorks(host);
    const { keys } = await makeLinks(host.url, LINKS);
    const answered = new Map<string, number>();
    const inFlight = new Map<string, number>();
    for (let kill = 0; kill < KILLS; kill++) {
      const load = startLoad(host.url, { keys, random });
      // Not a wait for something to happen, but the random moment itself.
      const timer = setTimeout(host.kill, pickInteger(random, MOMENT_MS), 'SIGKILL');
      const result = await load.ended();
      clearTimeout(timer);
      await host.exit;
      t.same(result.refusals, []);
      add(answered, result.answered);
      add(inFlight, result.inFlight);
      host = await startServer(t, options);
    }
    await until(
      'nothing waits',
      async () => (await readUnshipped(host.managementUrl)) === 0,
      SETTLED_WITHIN_MS,
    );
    const rows = await countShipped(databaseUrl);
    t.comment(`${sumOf(answered)} answered, ${sumOf(rows)} rows, ${sumOf(inFlight)} in flight at the kills`);
    t.same(findWrong(rows, answered, inFlight), []);
  });

  await t.test('a host that loses its disk loses what was not shipped, and nothing else', async (t) => {
    const random = createSeededRandom(t);
    const databaseUrl = await server.createDatabase(t);
    const dataDir = makeFolder(t);
    const options = { dataDir, release, env: { DATABASE_URL: databaseUrl } };
    const host = await startServer(t, options);
    await untilKeyWorks(host);
    const { keys } = await makeLinks(host.url, LINKS);
    const load = startLoad(host.url, { keys, random });
    await until('some clicks are shipped', async () => sumOf(await countShipped(databaseUrl)) > 1000, 60_000);
    const before = load.answers();
    const unshipped = await readUnshipped(host.managementUrl);
    host.kill('SIGKILL');
    const { answered, answeredTotal, inFlight, inFlightTotal } = await load.ended();
    await host.exit;
    const rows = await countShipped(databaseUrl);
    const lost = answeredTotal - sumOf(rows);
    t.comment(`${answeredTotal} answered, ${lost} lost, of which ${unshipped} were told to wait just before`);
    t.ok(lost <= unshipped + (answeredTotal - before), 'not more than /metrics told, and what came since');
    t.same(
      [...rows].filter(([key, clicks]) => clicks > (answered.get(key) ?? 0) + (inFlight.get(key) ?? 0)),
      [],
      'no click is there that nobody made',
    );
    rmSync(dataDir, { recursive: true });
    const next = await startServer(t, options);
    for (const key of keys) t.equal((await ask('GET', `${next.url}/${key}`, { key: null })).status, 302);
    await until('it ships', async () => sumOf(await countShipped(databaseUrl)) === sumOf(rows) + keys.length);
    t.ok(inFlightTotal <= CONNECTIONS);
  });
}

if (requireCommand(t, 'initdb')) await t.test('a host of a fleet dies', main);
