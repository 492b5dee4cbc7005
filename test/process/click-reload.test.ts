// Two processes store clicks in one file while PM2 reloads: each answered redirect has its row. PROVE=1: 5 reloads, else 2, and
// none waits long for the other process; a machine that does other work meanwhile may stop one while it has the lock.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { countRows, findWrong, makeLinks, sumOf } from '../support/click-proof.ts';
import { createPm2 } from '../support/pm2.ts';
import { startRedirectLoad } from '../support/redirect-load.ts';
import { buildRelease } from '../support/release.ts';
import { createSeededRandom } from '../support/seed.ts';
import { serverEnvironment, startServer } from '../support/server-process.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const isProof = process.env.PROVE === '1';
const RELOADS = isProof ? 5 : 2;
const CONNECTIONS = 64;
const ANSWERS_BETWEEN = isProof ? 10_000 : 1000;
const WAITED_MS_MAX = 50;

interface Stopped {
  readonly msg: string;
  readonly pid: number;
  readonly clicks: {
    readonly served: number;
    readonly pending: number;
    readonly dropped: number;
    readonly waited_ms_max: number;
  };
}

const release = await buildRelease(t);

t.test('reloads at peak load: the rows of all processes together are the answers', async (t) => {
  const random = createSeededRandom(t);
  const [port, managementPort] = [await findFreePort(), await findFreePort()];
  const url = `http://127.0.0.1:${port}`;
  const dataDir = makeFolder(t);
  const env = { PORT: String(port), MANAGEMENT_PORT: String(managementPort) };
  const pm2 = createPm2(t, serverEnvironment({ dataDir, env }));
  await pm2.run('start', join(release, 'ecosystem.config.cjs'));
  const links = await makeLinks(url, 500);
  const load = startRedirectLoad({
    url,
    connections: CONNECTIONS,
    keys: links.keys,
    random,
    reconnects: true,
  });
  const goOn = async () => {
    const before = load.answers();
    await until('the load goes on', () => load.answers() >= before + ANSWERS_BETWEEN, 60_000);
  };
  for (let reload = 0; reload < RELOADS; reload++) {
    await goOn();
    await pm2.run('reload', 'fleetlink');
  }
  await goOn();
  const { answered, answeredTotal, inFlightTotal, refusals, connectionsOpened } = await load.stop();
  await pm2.run('stop', 'fleetlink');

  t.same([refusals, inFlightTotal], [[], 0], 'nobody was refused or cut off');
  const rows = countRows(dataDir, links);
  t.same(findWrong(rows, answered), [], 'every key has as many rows as answers');
  t.equal(sumOf(rows), answeredTotal);

  const path = join(pm2.home, 'logs', 'fleetlink-out.log');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const stopped = lines.map((line) => JSON.parse(line) as Stopped).filter(({ msg }) => msg === 'stopped');
  t.equal(new Set(stopped.map(({ pid }) => pid)).size, RELOADS + 1);
  t.equal(
    stopped.reduce((sum, { clicks }) => sum + clicks.served, 0),
    answeredTotal,
    'and so say their ledgers',
  );
  t.ok(stopped.every(({ clicks }) => clicks.pending + clicks.dropped === 0));
  const waits = stopped.map(({ clicks }) => clicks.waited_ms_max);
  t.comment(JSON.stringify({ answeredTotal, connectionsOpened, waits }));
  if (isProof) {
    t.ok(
      Math.max(...waits) <= WAITED_MS_MAX,
      `no click waited longer than ${WAITED_MS_MAX} ms for the other process`,
    );
  }
});

t.test('two processes at peak load: their rows together are the answers', async (t) => {
  const random = createSeededRandom(t);
  const dataDir = makeFolder(t);
  const servers = [await startServer(t, { dataDir, release }), await startServer(t, { dataDir, release })];
  const links = await makeLinks(String(servers[0]?.url), 500);
  const loads = servers.map(({ url }) =>
    startRedirectLoad({ url, connections: CONNECTIONS / 2, keys: links.keys, random, reconnects: false }),
  );
  await until(
    'both have answered many',
    () => loads.every((load) => load.answers() >= ANSWERS_BETWEEN),
    60_000,
  );
  const results = await Promise.all(loads.map((load) => load.stop()));
  for (const server of servers) t.same(await server.stop(), { code: 0, signal: null });
  const answeredTotal = results.reduce((sum, result) => sum + result.answeredTotal, 0);
  t.equal(sumOf(countRows(dataDir, links)), answeredTotal);
  t.same(
    results.flatMap(({ refusals }) => refusals),
    [],
  );
  const stopped = servers.map((server) => server.log().at(-1) as unknown as Stopped);
  t.equal(
    stopped.reduce((sum, { clicks }) => sum + clicks.served, 0),
    answeredTotal,
  );
  const waits = stopped.map(({ clicks }) => clicks.waited_ms_max);
  // Both serve all they can, which is more than one of them could.
  t.comment(JSON.stringify({ answers: results.map((result) => result.answeredTotal), waits }));
});
