// What a limit of clicks is worth: exactly so many are served, whoever asks at once, while processes come, go and are killed.
// PROVE=1: 5 reloads and 50 kills, else 1 and 5.

import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { findFreePort } from '../support/free-port.ts';
import { send } from '../support/load.ts';
import { createPm2 } from '../support/pm2.ts';
import { IS_PROOF } from '../support/property.ts';
import { buildRelease } from '../support/release.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { type RunningServer, serverEnvironment, startServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const CLIENTS = 500;
const MANY = 1000;
const RELOADS = IS_PROOF ? 5 : 1;

/** Makes links of which the nth may be followed so often. */
async function makeLinks(
  url: string,
  limits: readonly (number | null)[],
  prefix = 'limited',
): Promise<string[]> {
  const links = limits.map((max_clicks, n) => {
    return { url: `https://example.com/${n}`, key: `${prefix}-${n}`, max_clicks };
  });
  const { status } = await ask('POST', `${url}/api/v1/links:batch`, { body: { links } });
  if (status !== 201) throw new Error(`The links were not made: ${status}.`);
  return links.map(({ key }) => key);
}

/** Answers by what was asked and what came of it, such as `GET many-1: 302`. */
type Tally = Map<string, number>;

function count(tally: Tally, what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}

interface Client {
  /** The status; null when the request failed. Either is counted. */
  ask(method: 'GET' | 'HEAD', key: string): Promise<number | null>;
  leave(): void;
}

/** With one connection, as long as the server keeps it. */
function createClient(url: string, tally: Tally, onLast: () => void = () => undefined): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    async ask(method, key) {
      try {
        const { status, isLast } = await send(agent, method, `${url}/${key}`, null);
        count(tally, `${method} ${key}: ${status}`);
        if (isLast) onLast();
        return status;
      } catch (error) {
        count(tally, `${method} ${key}: ${String(error)}`);
        return null;
      }
    },
    leave: () => agent.destroy(),
  };
}

t.test(
  '500 clients of two processes on one DATA_DIR are served exactly as often as they may be',
  async (t) => {
    const release = await buildRelease(t);
    const dataDir = makeFolder(t);
    const servers = [await startServer(t, { dataDir, release }), await startServer(t, { dataDir, release })];
    const [many, once] = (await makeLinks(servers[0]?.url ?? '', [MANY, 1])) as [string, string];
    const tally: Tally = new Map();
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        const { ask, leave } = createClient(servers[client % 2]?.url ?? '', tally);
        await ask('GET', once);
        while ((await ask('GET', many)) === 302) await ask('HEAD', many);
        await ask('HEAD', many);
        leave();
      }),
    );
    const {
      [`HEAD ${many}: 302`]: before = 0,
      [`HEAD ${many}: 410`]: after = 0,
      ...rest
    } = Object.fromEntries(tally);
    t.same(rest, {
      [`GET ${once}: 302`]: 1,
      [`GET ${once}: 410`]: CLIENTS - 1,
      [`GET ${many}: 302`]: MANY,
      [`GET ${many}: 410`]: CLIENTS,
    });
    t.equal(before + after, MANY + CLIENTS, 'HEAD is answered, and uses nothing up');
    for (const server of servers) {
      const served = countServed(server.log(), many);
      t.ok([...served.values()].every((times) => times > 0) && served.size === 1, 'both have served');
      t.same(await server.stop(), { code: 0, signal: null });
    }
  },
);

/** Redirects of a link by the process that gave them. */
function countServed(log: readonly Record<string, unknown>[], key: string): Map<number, number> {
  const served = new Map<number, number>();
  for (const { msg, path, method, status, pid } of log) {
    if (msg !== 'request' || path !== `/${key}` || method !== 'GET' || status !== 302) continue;
    served.set(Number(pid), (served.get(Number(pid)) ?? 0) + 1);
  }
  return served;
}

/** Of the limit before the reload begins, and at most while it goes on; the rest is left for when the old process goes. */
const USED_BEFORE = 300;
const USED_MEANWHILE_MAX = 300;
/** Every how many requests of a client meanwhile. */
const MEANWHILE_EVERY = 100;

t.test('500 clients are served exactly as often as they may be, with a reload in the middle', async (t) => {
  const release = await buildRelease(t);
  const port = String(await findFreePort());
  const managementPort = String(await findFreePort());
  const url = `http://127.0.0.1:${port}`;
  const dataDir = makeFolder(t);
  const pm2 = createPm2(
    t,
    serverEnvironment({ dataDir, env: { PORT: port, MANAGEMENT_PORT: managementPort } }),
  );
  await pm2.run('start', join(release, 'ecosystem.config.cjs'));
  const [plain] = (await makeLinks(url, [null], 'plain')) as [string];
  for (let reload = 0; reload < RELOADS; reload++) {
    const [many, once] = (await makeLinks(url, [MANY, 1], `reload-${reload}`)) as [string, string];
    const tally = await reloadUnderClients({
      url,
      plain,
      many,
      once,
      reload: () => pm2.run('reload', 'fleetlink'),
    });
    tally.delete(`GET ${plain}: 302`);
    const { [`GET ${many}: 410`]: refused = 0, ...rest } = Object.fromEntries(tally);
    t.same(rest, {
      [`GET ${many}: 302`]: MANY,
      [`GET ${once}: 302`]: 1,
      [`GET ${once}: 410`]: CLIENTS - 1,
      [`HEAD ${many}: 410`]: CLIENTS,
    });
    t.ok(refused >= CLIENTS, 'every client met the end of it');
    t.same(readUsed(dataDir, many), MANY);
  }
  await pm2.run('stop', 'fleetlink');
  const log = readFileSync(join(pm2.home, 'logs', 'fleetlink-out.log'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  for (let reload = 0; reload < RELOADS; reload++) {
    const served = countServed(log, `reload-${reload}-0`);
    t.comment(JSON.stringify([...served]));
    t.equal(served.size, 2, 'the old process and the new one served it');
  }
});

interface Reloading {
  readonly url: string;
  readonly plain: string;
  readonly many: string;
  readonly once: string;
  readonly reload: () => Promise<unknown>;
}

/**
 * Every client is busy all the time. Some of the limit is used before, a little at a time while the new process starts, and
 * the rest by all at once as soon as the first is told by the old process that it goes.
 */
async function reloadUnderClients({ url, plain, many, once, reload }: Reloading): Promise<Tally> {
  const tally: Tally = new Map();
  let phase: 'before' | 'meanwhile' | 'rush' = 'before';
  let left = USED_BEFORE;
  const take = (): boolean => left > 0 && left-- > 0;

  const rush = () => {
    phase = 'rush';
  };

  async function runClient(client: number): Promise<void> {
    const { ask, leave } = createClient(url, tally, rush);
    for (let turn = client; phase !== 'rush'; turn++) {
      const isTurn = phase === 'before' || turn % MEANWHILE_EVERY === 0;
      await ask('GET', isTurn && take() ? many : plain);
    }
    await ask('GET', once);
    while ((await ask('GET', many)) === 302);
    await ask('HEAD', many);
    leave();
  }

  const clients = Array.from({ length: CLIENTS }, (_, client) => runClient(client));
  await until('the old process served some', () => tally.get(`GET ${many}: 302`) === USED_BEFORE);
  left = USED_MEANWHILE_MAX;
  phase = 'meanwhile';
  await Promise.all([reload(), ...clients]);
  return tally;
}

function readUsed(dataDir: string, key: string): unknown {
  return readOfLink(dataDir, key, 'select used from quotas where link_id = ?');
}

function countStored(dataDir: string, key: string): unknown {
  return readOfLink(dataDir, key, 'select count(*) from clicks where link_id = ?');
}

/** What a statement on clicks.db says of a link's id. */
function readOfLink(dataDir: string, key: string, statement: string): unknown {
  const links = new Database(join(dataDir, 'links.db'), { readonly: true });
  const clicks = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  const id = links.prepare('select id from links where key = ?').pluck().get(key);
  const found = clicks.prepare(statement).pluck().get(id);
  links.close();
  clicks.close();
  return found;
}

/** Limits that are met at once, soon, and after some kills. */
const LIMITS = IS_PROOF ? [1, 100, 2000, 20_000] : [1, 50, 500, 3000];
const RUNS = IS_PROOF ? 50 : 5;
const KILLED_CLIENTS = 20;
/** From the first request to the kill. */
const MOMENT_MS = { min: 1, max: 500 };

t.test('kill -9 gives nothing back: answered ≤ used ≤ max, over all kills together', async (t) => {
  const random = createSeededRandom(t);
  const release = await buildRelease(t);
  const dataDir = makeFolder(t);
  const start = () => startServer(t, { dataDir, release });
  const tally: Tally = new Map();
  let server = await start();
  const keys = await makeLinks(server.url, LIMITS);
  for (let run = 0; run < RUNS; run++) {
    await killWhileFollowed(server, { keys, tally, random });
    server = await start();
    checkUsed(t, { dataDir, keys, tally, run });
  }
  const lost = countUnanswered(tally, keys);
  await Promise.all(
    Array.from({ length: KILLED_CLIENTS }, async () => {
      const { ask, leave } = createClient(server.url, tally);
      for (const key of keys) while ((await ask('GET', key)) === 302);
      leave();
    }),
  );
  checkUsed(t, { dataDir, keys, tally, run: RUNS });
  for (const [n, key] of keys.entries()) {
    const max = LIMITS[n] ?? 0;
    const answered = tally.get(`GET ${key}: 302`) ?? 0;
    t.equal(readUsed(dataDir, key), max, `${key} is used up`);
    t.ok(answered <= max && answered >= max - (lost[n] ?? 0), `${answered} of ${max} were answered`);
  }
  t.comment(JSON.stringify({ runs: RUNS, unanswered: lost, ...Object.fromEntries(tally) }));
  t.ok(
    lost.some((times) => times > 0),
    'the kills met redirects that were under way',
  );
  t.same(await server.stop(), { code: 0, signal: null });
});

interface Killing {
  readonly keys: readonly string[];
  readonly tally: Tally;
  readonly random: Random;
}

async function killWhileFollowed(server: RunningServer, { keys, tally, random }: Killing): Promise<void> {
  const clients = Array.from({ length: KILLED_CLIENTS }, async () => {
    const { ask, leave } = createClient(server.url, tally);
    const pick = () => keys[pickInteger(random, { min: 0, max: keys.length - 1 })] ?? '';
    while ((await ask('GET', pick())) !== null);
    leave();
  });
  // Not a wait for something to happen, but the random moment itself.
  const timer = setTimeout(() => server.kill('SIGKILL'), pickInteger(random, MOMENT_MS));
  await Promise.all(clients);
  clearTimeout(timer);
  await server.exit;
}

/** Requests for each key that had no answer, and may have used one up. */
function countUnanswered(tally: Tally, keys: readonly string[]): number[] {
  const answers = keys.map((key) => [`GET ${key}: 302`, `GET ${key}: 410`]);
  return keys.map((key, n) =>
    [...tally]
      .filter(([what]) => what.startsWith(`GET ${key}:`) && !answers[n]?.includes(what))
      .reduce((sum, [, times]) => sum + times, 0),
  );
}

interface Checked {
  readonly dataDir: string;
  readonly keys: readonly string[];
  readonly tally: Tally;
  readonly run: number;
}

function checkUsed(t: Test, { dataDir, keys, tally, run }: Checked): void {
  const unanswered = countUnanswered(tally, keys);
  const faults = keys.flatMap((key, n) => {
    const used = Number(readUsed(dataDir, key) ?? 0);
    const answered = tally.get(`GET ${key}: 302`) ?? 0;
    const stored = countStored(dataDir, key);
    const isRight =
      answered <= used &&
      used <= answered + (unanswered[n] ?? 0) &&
      used <= (LIMITS[n] ?? 0) &&
      // A quota and its click are one transaction.
      used === stored;
    return isRight ? [] : [{ key, answered, used, stored, unanswered: unanswered[n] }];
  });
  t.same(faults, [], `after run ${run}`);
}
