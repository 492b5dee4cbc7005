// A limit of clicks is exact for two processes at once, as they are during a reload. PROVE=1: 5 reloads, else 1.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { createClient, makeLinks, readUsed, type Tally } from '../support/limited-links.ts';
import { createPm2 } from '../support/pm2.ts';
import { IS_PROOF } from '../support/property.ts';
import { buildRelease } from '../support/release.ts';
import { serverEnvironment, startServer } from '../support/server-process.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const CLIENTS = 500;
const MANY = 1000;
const RELOADS = IS_PROOF ? 5 : 1;

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
