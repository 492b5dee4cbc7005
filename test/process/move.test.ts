// A host under traffic moves into a shared database: the move is killed twice, the host starts anew on the database beside the
// process of before, and everything is there once. PROVE=1: a million links and ten million clicks, else some thousands.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { SEGMENT_SIZE, WORD_KINDS } from '../../app/store/click-rows.ts';
import { seedManyLinks } from '../../scripts/bench/seed.ts';
import { readLedger } from '../support/click-proof.ts';
import { startFleetLoad } from '../support/fleet-load.ts';
import { query, startPostgres } from '../support/postgres.ts';
import { IS_PROOF } from '../support/property.ts';
import { buildRelease } from '../support/release.ts';
import { requireCommand } from '../support/requirement.ts';
import { withoutTap } from '../support/run-node.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { type Exit, NODE_ARGS, startServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { openStore } from '../support/store.ts';
import { until } from '../support/until.ts';

const LINKS = IS_PROOF ? 1_000_000 : 20_000;
const CLICKS = IS_PROOF ? 10_000_000 : 60_000;
/** Links that clicks are of, the first of them more often. */
const FOLLOWED = IS_PROOF ? 20_000 : 500;
const DAYS = 30;
const LIMITED = { keys: ['few'], clicksMax: 100_000 };
const RATE = IS_PROOF ? 500 : 200;
/** The whole of a long move, and the clicks that came meanwhile. */
const DONE_WITHIN_MS = 40 * 60_000;

/** What `seedManyLinks` leaves out: what links were when they were made, and what `q` looks in. */
function seedHistory(dataDir: string): void {
  const db = new Database(join(dataDir, 'links.db'));
  db.exec(`
    update links set search = lower(key || ' ' || url) where id > 1;
    insert into events (seq, type, link_id, domain, key, version, by, at_ms, options)
      select links.seq, 'created', links.id, links.domain, links.key, 1, links.created_by, links.created_at_ms, first.options
      from links, (select options from events where seq = 1) as first where links.id > 1;`);
  db.close();
}

/** Clicks of a process that is gone, and all figures of them. */
async function seedClicks(dataDir: string): Promise<void> {
  const store = await openStore({ dataDir });
  const db = new Database(join(dataDir, 'clicks.db'));
  db.prepare(`insert into segments (id, name, started_at_ms, folded_to) values (1000, 'seeded', 1, 0)`).run();
  db.prepare(
    `with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 200)
     insert into words (kind, text) select ${WORD_KINDS.agent}, 'Mozilla/5.0 (X11; rv:' || n || '.0) Gecko Firefox/' || n from numbers`,
  ).run();
  const insert = db.prepare(
    `with recursive numbers (n) as (select ? union all select n + 1 from numbers where n < ?)
     insert into clicks (id, link_id, at_ms, reason, visitor, agent)
     select ${1000 * SEGMENT_SIZE} + n, 1 + cast(pow(abs(random() % 1000000) / 1e6, 3) * ${FOLLOWED} as integer),
       ? - abs(random() % ${DAYS * 24 * 60}) * 60000, 1 + abs(random() % 5), abs(random() % 100000000),
       1 + abs(random() % 200)
     from numbers`,
  );
  const PORTION = 500_000;
  for (let from = 1; from <= CLICKS; from += PORTION) {
    insert.run(from, Math.min(from + PORTION - 1, CLICKS), Date.now());
  }
  db.close();
  // Batches as large as memory allows: nobody waits.
  while ((await store.tiers.fold(50_000)).clicks > 0);
  await store.close();
}

interface RunningMove {
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  output(): string;
}

/** As a person starts it. */
function startMove(t: Test, dataDir: string, url: string): RunningMove {
  const [command, ...args] = withoutTap([
    process.execPath,
    ...NODE_ARGS,
    resolve('scripts/migrate-store.ts'),
  ]);
  const child = spawn(command, [...args, '--from', `sqlite:${dataDir}`, '--to', url], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (text) => {
      output += text;
    });
  }
  const exit = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  return { child, exit, output: () => output };
}

/** Ends a move without warning, somewhere in a table. */
async function killMove(
  t: Test,
  { dataDir, url, table, random }: { dataDir: string; url: string; table: string; random: Random },
): Promise<void> {
  const move = startMove(t, dataDir, url);
  const rows = pickInteger(random, { min: 1, max: 0.7 * CLICKS });
  await until(
    `${rows} rows of ${table} are moved`,
    async () => {
      if (move.child.exitCode !== null) throw new Error(move.output());
      const [row] = await query(url, `select value from moving where name = 'rows of ${table}'`);
      return row !== undefined && (JSON.parse(row.value as string) as { rows: number }).rows >= rows;
    },
    DONE_WITHIN_MS,
  );
  move.child.kill('SIGKILL');
  t.same(await move.exit, { code: null, signal: 'SIGKILL' });
}

async function main(t: Test): Promise<void> {
  const random = createSeededRandom(t);
  const server = await startPostgres(t);
  const url = await server.createDatabase(t);
  const release = await buildRelease(t);
  const dataDir = makeFolder(t);
  await seedManyLinks(dataDir, LINKS);
  seedHistory(dataDir);
  await seedClicks(dataDir);
  const env = { KEY_CREATES_PER_MINUTE: '0', LOG_LEVEL: 'info', CLICK_RAW_DAYS: '0' };
  const before = await startServer(t, { dataDir, release, env });
  for (const key of LIMITED.keys) {
    const body = { key, url: 'https://example.com/few', max_clicks: LIMITED.clicksMax };
    t.equal((await ask('POST', `${before.url}/api/v1/links`, { body })).status, 201);
  }
  const load = startFleetLoad({ urls: [before.url], random, rate: RATE, writePercent: 10, limited: LIMITED });

  const startedAt = performance.now();
  await killMove(t, { dataDir, url, table: 'clicks', random });
  await killMove(t, { dataDir, url, table: 'click_figures', random });
  // From some moment on links cannot be changed.
  load.beginTrouble();
  const move = startMove(t, dataDir, url);
  t.same(await move.exit, { code: 0, signal: null }, move.output());
  t.comment(
    `${Math.round((performance.now() - startedAt) / 1000)} s with two beginnings in vain\n${move.output()}`,
  );
  t.match(move.output(), /Both sides are the same/);

  const after = await startServer(t, { dataDir, release, env: { ...env, DATABASE_URL: url } });
  const { failures, records, limitedClicks, counts, waitsMs } = await load.stop();
  const stored = await readLedger(before.managementUrl);
  t.same(await before.stop(), { code: 0, signal: null });
  t.same(failures, [], 'nobody noticed');
  t.comment(JSON.stringify(counts));
  const waits = [...waitsMs.calm, ...waitsMs.trouble].sort((one, other) => one - other);
  t.comment(
    `redirects waited ${Math.round(waits[Math.floor(waits.length * 0.99)] ?? 0)} ms (p99), ${Math.round(waits.at(-1) ?? 0)} at most`,
  );
  t.ok(
    counts.created > 0 && counts.changed > 0 && counts.writesRefused > 0,
    'links were made and changed, and then no more',
  );

  const limitedTotal = [...limitedClicks.values()].reduce((sum, clicks) => sum + clicks, 0);
  t.equal(
    stored.counted,
    records.reduce((sum, { clicks }) => sum + clicks, limitedTotal),
  );
  await until(
    'all clicks are there, and counted',
    async () => {
      const [row] = await query(
        url,
        'select (select count(*) from clicks)::int as rows, (select sum(clicks) from click_totals where link_id > 0)::int as counted',
      );
      return row?.rows === CLICKS + stored.counted && row?.counted === CLICKS + stored.counted;
    },
    DONE_WITHIN_MS,
  );
  const targets = new Map(
    (await query(url, "select key, url from links where key not like 'k%'")).map(({ key, url }) => [
      key,
      url,
    ]),
  );
  const lost = records.filter(
    ({ key, targets: asked, acknowledged }) => asked.indexOf(String(targets.get(key))) < acknowledged,
  );
  t.same(lost, [], 'every link is there as it was acknowledged');
  const rows = await query(
    url,
    'select links.key, count(*)::int as clicks from clicks join links on links.id = link_id group by key',
  );
  const clicks = new Map(rows.map(({ key, clicks }) => [key as string, clicks as number]));
  const expected = [...records.map(({ key, clicks }) => [key, clicks] as const), ...limitedClicks];
  t.same(
    expected.filter(([key, answered]) => (clicks.get(key) ?? 0) !== answered),
    [],
    'each key has as many clicks as it was followed',
  );
  const [record] = records;
  t.equal((await ask('GET', `${after.url}/${record?.key}`, { key: null })).status, 302);
  t.equal(
    (await ask('POST', `${after.url}/api/v1/links`, { body: { url: 'https://example.com/' } })).status,
    201,
  );
}

if (requireCommand(t, 'initdb')) await t.test('a host moves while it is followed', main);
