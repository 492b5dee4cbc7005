// What an acknowledged link is worth: the service is killed without warning at random moments while links are made in
// every way there is, on one database that goes through all runs. PROVE=1: 50 runs, else 5.

import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { buildRelease } from '../support/release.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { type RunningServer, startServer } from '../support/server-process.ts';
import { type Answer, ask, makeFolder } from '../support/service.ts';

const RUNS = process.env.PROVE === '1' ? 50 : 5;
const CLIENTS = 12;
const BATCH_SIZE = 10;
/** From the first request to the kill: from a moment without any commit to some hundred of them. */
const MOMENT_MS = { min: 1, max: 1500 };
/** Acknowledged links of a run that are followed too; the others are looked up in the database. */
const FOLLOWED = 20;

/** What a run was promised. */
interface Promises {
  /** Targets of acknowledged links by key. */
  readonly targets: Map<string, string>;
  /** The keys of every atomic batch that was sent, acknowledged or not. */
  readonly batches: string[][];
  unanswered: number;
  /** Statuses that are no answer to a good request. */
  readonly refusals: number[];
}

t.test('kill -9 takes no acknowledged link and leaves no half of one', async (t) => {
  const random = createSeededRandom(t);
  const release = await buildRelease(t);
  const dataDir = makeFolder(t);
  const start = () => startServer(t, { dataDir, release, env: { KEY_CREATES_PER_MINUTE: '0' } });
  const acknowledged = new Map<string, string>();
  const totals = { links: 0, unanswered: 0, batches: 0, runsWithoutLink: 0 };

  let server = await start();
  for (let run = 0; run < RUNS; run++) {
    const promises = await killDuringCreates(server, { run, random });
    server = await start();
    for (const [key, target] of promises.targets) acknowledged.set(key, target);
    await t.test(`run ${run}`, async (t) => {
      t.same(promises.refusals, [], 'no create was refused');
      checkDatabase(t, { dataDir, acknowledged, batches: promises.batches });
      for (const [key, target] of [...promises.targets].slice(-FOLLOWED)) {
        const { status, headers } = await ask('GET', `${server.url}/${key}`, { key: null });
        if (status !== 302 || headers.get('location') !== target)
          t.fail(`${key} is not followed to ${target}`);
      }
    });
    totals.links += promises.targets.size;
    totals.unanswered += promises.unanswered;
    totals.batches += promises.batches.length;
    if (promises.targets.size === 0) totals.runsWithoutLink += 1;
  }
  t.same(await server.stop(), { code: 0, signal: null });
  t.comment(JSON.stringify(totals));
  t.ok(totals.links > 0 && totals.unanswered > 0, 'the kills met creates that were under way');
});

async function killDuringCreates(
  server: RunningServer,
  { run, random }: { run: number; random: Random },
): Promise<Promises> {
  const promises: Promises = { targets: new Map(), batches: [], unanswered: 0, refusals: [] };
  const clients = Array.from({ length: CLIENTS }, (_, client) =>
    createLinks(server.url, `${run}-${client}`, promises),
  );
  const moment = pickInteger(random, MOMENT_MS);
  // Not a wait for something to happen, but the random moment itself.
  const timer = setTimeout(() => server.kill('SIGKILL'), moment);
  await Promise.all(clients);
  clearTimeout(timer);
  await server.exit;
  return promises;
}

/** Makes links in turn with a random key, with one of its own, and in both kinds of batches, until nobody answers. */
async function createLinks(url: string, client: string, promises: Promises): Promise<void> {
  for (let turn = 0; ; turn++) {
    const name = `${client}-${turn}`;
    const target = `https://example.com/${name}`;
    const links = Array.from({ length: BATCH_SIZE }, (_, index) => ({
      url: `${target}/${index}`,
      key: `b-${name}-${index}`,
      title: `Link ${index} of ${name}`,
      tags: [`run-${client}`, 'batch'],
    }));
    const isAtomic = turn % 4 === 3;
    const requests = [
      () => create(`${url}/shorten`, { url: target }),
      () => create(`${url}/api/v1/links`, { url: target, key: `c-${name}`, tags: ['custom', client] }),
      () => create(`${url}/api/v1/links:batch`, { links, atomic: false }),
      () => create(`${url}/api/v1/links:batch`, { links }),
    ];
    if (isAtomic) promises.batches.push(links.map(({ key }) => key));
    const answer = await requests[turn % 4]?.();
    if (answer === undefined) {
      promises.unanswered += 1;
      return;
    }
    if (answer.status !== 201 && answer.status !== 207) promises.refusals.push(answer.status);
    for (const made of listMade(answer)) promises.targets.set(made.key, made.url);
  }
}

interface Made {
  readonly key: string;
  readonly url: string;
}

/** Undefined when the server is gone: it did not answer, and will not answer the next one. */
async function create(url: string, body: unknown): Promise<Answer | undefined> {
  try {
    return await ask('POST', url, { body });
  } catch {
    return undefined;
  }
}

function listMade({ body }: Answer): Made[] {
  const made = body as Made | { items: (Made | { link: Made })[] };
  if (!('items' in made)) return [made];
  return made.items.map((item) => ('link' in item ? item.link : item));
}

interface Expected {
  readonly dataDir: string;
  readonly acknowledged: ReadonlyMap<string, string>;
  readonly batches: readonly (readonly string[])[];
}

function checkDatabase(t: Test, { dataDir, acknowledged, batches }: Expected): void {
  const db = new Database(join(dataDir, 'links.db'), { readonly: true });
  const list = (sql: string): unknown[] => db.prepare(sql).pluck().all();
  try {
    t.same(list('pragma integrity_check'), ['ok'], 'the database is whole');
    t.same(list('pragma foreign_key_check'), [], 'no row points nowhere');

    const targets = new Map(db.prepare<[], [string, string]>('select key, url from links').raw().all());
    const lost = [...acknowledged].filter(([key, target]) => targets.get(key) !== target);
    t.same(lost, [], 'every acknowledged link is there with its target');
    t.same(list('select key from links group by key having count(*) > 1'), [], 'no key has two targets');
    t.same(
      batches.filter((keys) => ![0, keys.length].includes(keys.filter((key) => targets.has(key)).length)),
      [],
      'an atomic batch is there as a whole or not at all',
    );

    t.same(
      list(`select links.key from links left join events on events.link_id = links.id
              and events.seq = links.seq and events.type = 'created' and events.key = links.key
            where events.seq is null`),
      [],
      'every link has the event that made it',
    );
    t.same(
      list('select key from events where link_id not in (select id from links)'),
      [],
      'and no event is alone',
    );
    t.same(
      list(`select links.key from links where
              (select coalesce(group_concat(tag, ' '), '') from (select tag from link_tags where link_id = links.id order by tag))
              <> (select coalesce(group_concat(value, ' '), '') from (select value from json_each(links.tags) order by value))`),
      [],
      'every link has its tags',
    );
    t.same(
      list(`select id from links where id not in (select rowid from link_search)
            union all select rowid from link_search where rowid not in (select id from links)`),
      [],
      'every link can be found, and nothing else',
    );
    t.same(
      list(`select value - (select coalesce(max(seq), 0) from events) from sequences where name = 'event'`),
      [0],
      'the number of changes goes on where it was',
    );
  } finally {
    db.close();
  }
}
