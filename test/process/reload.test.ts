// The promise of ecosystem.config.cjs: a reload under load loses nobody. With PM2 as it is, in a folder of its own, on a
// release as it lies on a host. PROVE=1: 200 connections and 5 reloads, else a short form of the same.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { startLoad } from '../support/load.ts';
import { createPm2 } from '../support/pm2.ts';
import { buildRelease } from '../support/release.ts';
import { serverEnvironment } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const isProof = process.env.PROVE === '1';
const CONNECTIONS = isProof ? 200 : 50;
const RELOADS = isProof ? 5 : 2;
/** Answers before the first, between two, and after the last reload. */
const ANSWERS_BETWEEN = isProof ? 5000 : 500;

t.test('reloads under load lose no request, and each brings a new process', async (t) => {
  const release = await buildRelease(t);
  const port = await findFreePort();
  const managementPort = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const pm2 = createPm2(
    t,
    serverEnvironment({
      dataDir: makeFolder(t),
      env: { PORT: String(port), MANAGEMENT_PORT: String(managementPort), KEY_CREATES_PER_MINUTE: '0' },
    }),
  );
  await pm2.run('start', join(release, 'ecosystem.config.cjs'));
  const made = await ask('POST', `${url}/shorten`, { body: { url: 'https://example.com/followed' } });
  const { key } = made.body as { key: string };
  const readPid = async () => ((await ask('GET', `${url}/readyz`)).body as { pid: number }).pid;

  const load = startLoad({ url, connections: CONNECTIONS, key, createEvery: 10 });
  const pids = [await readPid()];
  for (let i = 0; i < RELOADS; i++) {
    const answersBefore = load.answers();
    await until('the load goes on', () => load.answers() >= answersBefore + ANSWERS_BETWEEN, 60_000);
    await pm2.run('reload', 'fleetlink');
    const oldPid = pids.at(-1) ?? 0;
    await until('the old process is gone', () => !isAlive(oldPid));
    pids.push(await readPid());
  }
  const answersBefore = load.answers();
  await until('the load goes on', () => load.answers() >= answersBefore + ANSWERS_BETWEEN, 60_000);

  const { axm_monitor: figures, ...pm2Env } = await until('PM2 shows the figures', async () => {
    const [shown] = await pm2.list();
    return Number(shown?.pm2_env.axm_monitor.redirects?.value) > 0 && shown?.pm2_env;
  });
  const result = await load.stop();
  t.comment(`${JSON.stringify({ ...result, failures: result.failures.length, pids, figures })}`);

  t.same(result.failures, [], 'no request failed');
  t.equal(new Set(pids).size, RELOADS + 1, 'a new process each time');
  t.match(pm2Env, {
    status: 'online',
    exec_mode: 'cluster_mode',
    instances: 1,
    restart_time: RELOADS,
    unstable_restarts: 0,
    wait_ready: true,
    kill_timeout: 35_000,
    listen_timeout: 30_000,
    merge_logs: true,
    pm_cwd: release,
    pm_out_log_path: join(pm2.home, 'logs', 'fleetlink-out.log'),
    pm_err_log_path: join(pm2.home, 'logs', 'fleetlink-error.log'),
  });
  t.same(Object.keys(figures), ['redirects', 'redirect p95', 'state'], 'our figures and no other');
  t.ok(Number(figures.redirects?.value) <= result.redirects, 'they are of the newest process');
  t.ok(Number(figures['redirect p95']?.value) > 0 && Number(figures['redirect p95']?.value) < 5000);
  t.equal(figures.state?.value, 'ready');

  const links = await ask('GET', `${url}/metrics`);
  t.equal(links.status, 404, 'the figures for Prometheus are not on the public port');

  await pm2.run('stop', 'fleetlink');
  const log = readFileSync(join(pm2.home, 'logs', 'fleetlink-out.log'), 'utf8')
    .trimEnd()
    .split('\n');
  const lines = log.map((line) => JSON.parse(line) as { msg: string; pid: number });
  for (const pid of pids) {
    const own = lines.filter((line) => line.pid === pid).map(({ msg }) => msg);
    t.same([own[0], own.at(-1)], ['listening', 'stopped'], `the log of ${pid} is whole`);
  }
  const answered = lines.filter(({ msg }) => msg === 'request').length;
  t.ok(answered >= result.redirects + result.creates, 'and has a line for each request');
  t.equal(
    readFileSync(join(pm2.home, 'logs', 'fleetlink-error.log'), 'utf8'),
    '',
    'nothing went to standard error',
  );
});

t.test('a process that is killed is replaced by itself', async (t) => {
  const release = await buildRelease(t);
  const port = String(await findFreePort());
  const managementPort = String(await findFreePort());
  const env = { PORT: port, MANAGEMENT_PORT: managementPort };
  const pm2 = createPm2(t, serverEnvironment({ dataDir: makeFolder(t), env }));
  await pm2.run('start', join(release, 'ecosystem.config.cjs'));
  const url = `http://127.0.0.1:${port}`;
  const readPid = async () => ((await ask('GET', `${url}/readyz`)).body as { pid: number }).pid;
  const made = await ask('POST', `${url}/shorten`, { body: { url: 'https://example.com/kept' } });
  const { key } = made.body as { key: string };
  const killed = await readPid();
  process.kill(killed, 'SIGKILL');
  const pid = await until('another one answers', async () => {
    // Between the two nobody listens.
    const answering = await readPid().catch(() => killed);
    return answering !== killed && answering;
  });
  t.not(pid, killed);
  t.equal((await ask('GET', `${url}/${key}`)).headers.get('location'), 'https://example.com/kept');
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: there is no such process.
    return false;
  }
}
