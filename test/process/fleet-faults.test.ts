// Three hosts that share one database, under load, while the database is taken away in every way we know. Strangers who follow links
// that a host knows may not notice. Each host is a process with a network of its own. PROVE=1: 10 minutes at 2,000 requests a
// second, else about a minute at fewer.

import Database from 'better-sqlite3';
import pg from 'pg';
import t, { type Test } from 'tap';
import { ask as askPostgres, type PostgresServer, preparePostgres } from '../../scripts/postgres-server.ts';
import { readLedger } from '../support/click-proof.ts';
import { findCopy } from '../support/copies.ts';
import { type FleetLoad, type FleetLoadResult, startFleetLoad } from '../support/fleet-load.ts';
import { createNetwork, type Network, type NetworkHost } from '../support/network.ts';
import { IS_PROOF } from '../support/property.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { buildRelease } from '../support/release.ts';
import { requireCommand } from '../support/requirement.ts';
import { createSeededRandom, type Random } from '../support/seed.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const HOSTS = 3;
const RATE = IS_PROOF ? 2000 : 400;
const LIMITED = { keys: ['few-0', 'few-1', 'few-2'], clicksMax: IS_PROOF ? 2000 : 50 };
/** Of a host, its own and for its management. */
const PORTS = { public: 3000, management: 9100 };
const DATABASE_PORT = 5432;
const CONNECTIONS_MAX = 60;
/** After the end of a fault everything works again within this. */
const RECOVERED_WITHIN_MS = 10_000;
/** Backlogs of clicks are shipped and counted: some more of them within this, however slow the machine is. */
const PROGRESS_WITHIN_MS = 60_000;

interface Host {
  readonly server: ServerProcess;
  readonly place: NetworkHost;
  readonly url: string;
  readonly managementUrl: string;
  readonly dataDir: string;
}

interface Fleet {
  readonly hosts: readonly Host[];
  /** Where hosts find the database, whichever server that is. */
  readonly databaseUrl: string;
  readonly relay: Relay;
  readonly at: NetworkHost;
  /** The one that is written to. */
  server: PostgresServer;
  readonly standby: PostgresServer;
}

/** Sleeps are the length of a fault, not a wait for something to happen. */
const hold = (seconds: { short: number; proof: number }): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, (IS_PROOF ? seconds.proof : seconds.short) * 1000));

const FAULTS: Readonly<Record<string, (fleet: Fleet) => Promise<void>>> = {
  async 'killed and started again'({ server }) {
    await server.kill();
    await hold({ short: 3, proof: 20 });
    await server.start();
  },

  async stopped({ server }) {
    server.signal('SIGSTOP');
    await hold({ short: 7, proof: 60 });
    server.signal('SIGCONT');
  },

  async 'cut off from one host'({ hosts: [host], at }) {
    at.cutFrom((host as Host).place);
    await hold({ short: 7, proof: 40 });
    at.mend((host as Host).place);
  },

  async 'cut off from all hosts'({ hosts, at }) {
    for (const { place } of hosts) at.cutFrom(place);
    await hold({ short: 5, proof: 40 });
    for (const { place } of hosts) at.mend(place);
  },

  async 'out of connections'({ server }) {
    const clients = await takeAllConnections(server);
    await hold({ short: 4, proof: 30 });
    await Promise.all(clients.map((client) => client.end()));
  },

  async 'slow by half a second'({ relay }) {
    await relay.delay(500);
    await hold({ short: 6, proof: 40 });
    await relay.delay(0);
  },

  async 'replaced by its standby'(fleet) {
    await fleet.server.kill();
    await hold({ short: 1, proof: 5 });
    await fleet.standby.promote();
    fleet.server = fleet.standby;
    await fleet.relay.lead(addressOf(fleet.standby));
  },
};

type Fault = [name: string, inflict: (fleet: Fleet) => Promise<void>];

function shuffle<T>(list: readonly T[], random: Random): T[] {
  const placed = list.map((one) => ({ one, place: random() }));
  return placed.sort((a, b) => a.place - b.place).map(({ one }) => one);
}

/** Ends those of the hosts, and is there first when a place is free. */
async function takeAllConnections(server: PostgresServer): Promise<pg.Client[]> {
  const clients: pg.Client[] = [];
  const url = new URL(server.url);
  url.username = 'app';
  const takeFree = async (): Promise<void> => {
    for (;;) {
      const client = new pg.Client({ connectionString: url.href, application_name: 'somebody else' });
      client.on('error', () => undefined);
      try {
        await client.connect();
      } catch (error) {
        if ((error as { code?: string }).code === '53300') return;
        throw error;
      }
      clients.push(client);
    }
  };
  await until('nobody else has a connection', async () => {
    await askPostgres(
      server.url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fleetlink'",
    );
    await takeFree();
    return (await countConnections(server)) === 0;
  });
  return clients;
}

async function countConnections(server: PostgresServer): Promise<number> {
  const [row] = await query(
    server,
    "select count(*)::int as count from pg_stat_activity where application_name = 'fleetlink'",
  );
  return row?.count as number;
}

async function query(server: PostgresServer, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

function addressOf(server: PostgresServer): { host: string; port: number } {
  const { hostname, port } = new URL(server.url);
  return { host: hostname, port: Number(port) };
}

async function startDatabase(t: Test, network: Network): Promise<Omit<Fleet, 'hosts'>> {
  const at = network.addHost();
  const options = {
    address: at.address,
    allowed: network.cidr,
    enter: at.enter,
    settings: [`max_connections=${CONNECTIONS_MAX}`],
  };
  const endWith = (server: PostgresServer): PostgresServer => {
    t.teardown(async () => {
      await server.kill();
      server.remove();
    });
    return server;
  };
  const server = endWith(await preparePostgres(options));
  await server.start();
  await askPostgres(server.url, 'create role app login');
  await askPostgres(server.url, 'alter database postgres owner to app; grant all on schema public to app');
  const standby = endWith(await preparePostgres({ ...options, standbyOf: server.url }));
  await standby.start();
  // What is acknowledged is on both, so that the standby has lost nothing when its turn comes.
  await askPostgres(server.url, "alter system set synchronous_standby_names = '*'");
  await askPostgres(server.url, 'select pg_reload_conf()');
  await until('the standby follows', async () => {
    const [row] = await query(server, 'select sync_state from pg_stat_replication');
    return row?.sync_state === 'sync';
  });
  const relay = await startRelay(t, { on: at, port: DATABASE_PORT, to: addressOf(server) });
  const databaseUrl = `postgres://app@${at.address}:${DATABASE_PORT}/postgres`;
  return { databaseUrl, relay, at, server, standby };
}

async function startHost(
  t: Test,
  given: { network: Network; databaseUrl: string; release: string },
): Promise<Host> {
  const place = given.network.addHost();
  const dataDir = makeFolder(t);
  const { release, databaseUrl } = given;
  const server = spawnServer(t, {
    dataDir,
    release,
    enter: place.enter,
    env: {
      HOST: place.address,
      PORT: String(PORTS.public),
      MANAGEMENT_HOST: place.address,
      MANAGEMENT_PORT: String(PORTS.management),
      DATABASE_URL: databaseUrl,
      KEY_CREATES_PER_MINUTE: '0',
      LOG_LEVEL: 'warn',
    },
  });
  const url = `http://${place.address}:${PORTS.public}`;
  // Its log says nothing of good news, such as listening.
  await until('the host is ready', async () => (await ask('GET', `${url}/readyz`)).status === 200);
  return {
    server,
    place,
    url,
    managementUrl: `http://${place.address}:${PORTS.management}`,
    dataDir,
  };
}

async function untilRecovered({ hosts }: Fleet): Promise<void> {
  await until(
    'all hosts do everything again',
    async () => {
      const answers = await Promise.all(
        hosts.flatMap(({ url }) => [
          ask('GET', `${url}/readyz`).then(({ body }) => (body as { status: string }).status === 'ready'),
          ask('GET', `${url}/nobody-made-it`).then(({ status }) => status === 404),
          ask('POST', `${url}/api/v1/links`, { body: { url: 'https://example.com/' } }).then(
            ({ status }) => status === 201,
          ),
        ]),
      );
      return answers.every((isGood) => isGood);
    },
    RECOVERED_WITHIN_MS,
  );
}

async function runThroughFaults(
  t: Test,
  fleet: Fleet,
  { load, order }: { load: FleetLoad; order: readonly Fault[] },
): Promise<void> {
  await hold({ short: 3, proof: 60 });
  for (const [name, inflict] of order) {
    await t.test(`the database is ${name}`, async (t) => {
      load.beginTrouble();
      await inflict(fleet);
      const endedAt = performance.now();
      await untilRecovered(fleet);
      t.pass(`recovered in ${Math.round(performance.now() - endedAt)} ms`);
      load.endTrouble();
      await hold({ short: 2, proof: 45 });
    });
  }
}

/** Of what was stored for each key. */
async function countClicks(server: PostgresServer): Promise<Map<string, number>> {
  const rows = await query(
    server,
    'select links.key, count(*)::int as clicks from clicks join links on links.id = link_id group by key',
  );
  return new Map(rows.map(({ key, clicks }) => [key as string, clicks as number]));
}

async function checkEnd(t: Test, { hosts, server }: Fleet, result: FleetLoadResult): Promise<void> {
  const { records, limitedClicks } = result;
  const ledgers = await Promise.all(hosts.map(({ managementUrl }) => readLedger(managementUrl)));
  t.same(
    ledgers.map(({ pending, dropped, drift }) => [pending, dropped, drift]),
    hosts.map(() => [0, 0, 0]),
    'no host has lost a click',
  );
  const counted = ledgers.reduce((sum, ledger) => sum + ledger.counted, 0);
  await untilGrownTo(counted, {
    what: 'all clicks are in the database',
    read: async () => Number((await query(server, 'select count(*) from clicks'))[0]?.count),
  });
  await untilGrownTo(counted, {
    what: 'all clicks are counted',
    read: async () =>
      Number((await query(server, 'select sum(clicks) as sum from click_totals where link_id > 0'))[0]?.sum),
  });
  const clicks = await countClicks(server);
  const wrong = [...records.map(({ key, clicks }) => [key, clicks] as const), ...limitedClicks].filter(
    ([key, answered]) => (clicks.get(key) ?? 0) !== answered,
  );
  t.same(wrong, [], 'each key has as many clicks as it was followed');

  const rows = await query(server, 'select key, url from links where released = 0');
  const targets = new Map(rows.map(({ key, url }) => [key as string, url as string]));
  t.equal(targets.size, rows.length, 'no key has two links');
  const lost = records.filter(
    ({ key, targets: asked, acknowledged }) => asked.indexOf(targets.get(key) ?? '') < acknowledged,
  );
  t.same(lost, [], 'every acknowledged write is there');
  for (const { dataDir } of hosts) {
    await until('the copy is what the database says', () => {
      const copied = readCopy(dataDir);
      return copied.every(({ key, url }) => targets.get(key) === url) && copied.length === targets.size;
    });
  }
}

async function untilGrownTo(
  target: number,
  { what, read }: { what: string; read: () => Promise<number> },
): Promise<void> {
  for (let last = await read(); last !== target; last = await read()) {
    const before = last;
    await until(
      `${what}: ${target}, or more than ${before} at least`,
      async () => (await read()) !== before,
      PROGRESS_WITHIN_MS,
    );
  }
}

function readCopy(dataDir: string): { key: string; url: string }[] {
  const db = new Database(findCopy(dataDir), { readonly: true });
  try {
    return db
      .prepare<[], { key: string; url: string }>('select key, url from links where released = 0')
      .all();
  } finally {
    db.close();
  }
}

function quantile(sorted: readonly number[], part: number): number {
  return Math.round((sorted[Math.floor((sorted.length - 1) * part)] ?? 0) * 10) / 10;
}

async function main(t: Test): Promise<void> {
  const network = createNetwork(t);
  if (network === null) return;
  const random = createSeededRandom(t);
  const release = await buildRelease(t);
  const database = await startDatabase(t, network);
  const hosts: Host[] = [];
  for (let number = 0; number < HOSTS; number++) {
    hosts.push(await startHost(t, { network, release, databaseUrl: database.databaseUrl }));
  }
  const fleet: Fleet = { ...database, hosts };
  for (const key of LIMITED.keys) {
    const body = { key, url: 'https://example.com/few', max_clicks: LIMITED.clicksMax };
    t.equal((await ask('POST', `${hosts[0]?.url}/api/v1/links`, { body })).status, 201);
  }
  const order = shuffle(Object.entries(FAULTS), random);
  const load = startFleetLoad({
    urls: hosts.map(({ url }) => url),
    random,
    rate: RATE,
    writePercent: 5,
    limited: LIMITED,
  });
  await runThroughFaults(t, fleet, { load, order });
  const result = await load.stop();
  const { counts, failures, failed, longestUnseenMs, waitsMs } = result;
  t.comment(JSON.stringify(counts));
  t.comment(`a change was unseen for ${Math.round(longestUnseenMs)} ms at most`);
  for (const [when, waits] of Object.entries(waitsMs)) {
    t.comment(
      `${when}: ${waits.length} waits, ms p50 ${quantile(waits, 0.5)} p99 ${quantile(waits, 0.99)} longest ${quantile(waits, 1)}`,
    );
  }
  t.same({ failed, failures }, { failed: 0, failures: [] }, 'no answer was wrong');
  t.ok(counts.redirects > counts.created && counts.writesRefused > 0, 'the faults met the load');
  await checkEnd(t, fleet, result);
}

if (requireCommand(t, 'initdb') && requireCommand(t, 'ip')) {
  await t.test('hosts redirect, whatever becomes of their database', main);
}
