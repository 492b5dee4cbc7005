// Bad days of clicks.db under a running service: redirects go on, degraded says so, and it recovers by itself. The ledger
// balances, and every click is stored, or told to be missing.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { countRows, type Ledger, makeLinks, readLedger, sumOf } from '../support/click-proof.ts';
import { type RedirectLoad, startRedirectLoad } from '../support/redirect-load.ts';
import { buildRelease } from '../support/release.ts';
import { requireCommand } from '../support/requirement.ts';
import { createSeededRandom } from '../support/seed.ts';
import { type RunningServer, startServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { until } from '../support/until.ts';

const CONNECTIONS = process.env.PROVE === '1' ? 64 : 8;
const FAILED = 'clicks cannot be stored and wait in memory';
const RECOVERED = 'clicks are stored again';

interface UnderLoad {
  readonly server: RunningServer;
  readonly load: RedirectLoad;
  readonly dataDir: string;
  /** Waits until so many more redirects are answered. */
  goOn(answers?: number): Promise<void>;
  /** Whether a line of the log has this message. */
  hasLogged(msg: string): boolean;
  /** Ends the load; the ledger, and the rows of all clicks. */
  finish(): Promise<{ ledger: Ledger; rows: number; answered: number }>;
}

const release = await buildRelease(t);

async function startUnderLoad(t: Test, dataDir = makeFolder(t)): Promise<UnderLoad> {
  const server = await startServer(t, { dataDir, release });
  const links = await makeLinks(server.url, 100);
  const { url, managementUrl } = server;
  const random = createSeededRandom(t);
  const load = startRedirectLoad({
    url,
    connections: CONNECTIONS,
    keys: links.keys,
    random,
    reconnects: false,
  });
  const goOn = async (answers = 200) => {
    const before = load.answers();
    await until('redirects go on', () => load.answers() >= before + answers, 60_000);
  };
  await goOn();
  return {
    server,
    load,
    dataDir,
    goOn,
    hasLogged: (msg) => server.log().some((line) => line.msg === msg),
    async finish() {
      const { refusals, inFlightTotal, answeredTotal } = await load.stop();
      t.same([refusals, inFlightTotal], [[], 0], 'nobody was refused or cut off');
      await until('nothing waits', async () => (await readLedger(managementUrl)).pending === 0);
      t.match((await ask('GET', `${url}/readyz`)).body, { status: 'ready', reasons: [] });
      const ledger = await readLedger(managementUrl);
      t.equal(ledger.served, answeredTotal);
      return { ledger, rows: sumOf(countRows(dataDir, links)), answered: answeredTotal };
    },
  };
}

function untilDegraded({ url }: RunningServer, reasons: readonly string[]): Promise<unknown> {
  return until('it says that it is degraded', async () => {
    const { status, body } = await ask('GET', `${url}/readyz`);
    const { reasons: told } = body as { reasons: string[] };
    return status === 200 && reasons.every((reason) => told.includes(reason));
  });
}

interface Stopped {
  readonly served: number;
  readonly pending: number;
  readonly dropped: number;
  readonly waited_ms_max: number;
}

/** The figures in the last line of the log. */
function readStopped(server: RunningServer): Stopped {
  const { clicks } = server.log().at(-1) as { clicks: Stopped };
  return clicks;
}

/** Another process that holds the write lock for so long. */
async function holdLock(dataDir: string, ms: number): Promise<void> {
  const script = `
    const Database = require(${JSON.stringify(resolve('node_modules/better-sqlite3'))});
    const db = new Database(process.argv[1], { timeout: 5000 });
    db.exec('begin immediate');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(process.argv[2]));
    db.exec('commit');
    db.close();`;
  const child = spawn(process.execPath, ['-e', script, join(dataDir, 'clicks.db'), String(ms)], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error('The other process failed.');
}

t.test('another process that writes for 100 ms makes clicks wait, and is no failure', async (t) => {
  const service = await startUnderLoad(t);
  await holdLock(service.dataDir, 100);
  await service.goOn();
  const { ledger, rows, answered } = await service.finish();
  t.match(ledger, { counted: answered, dropped: 0, drift: 0 });
  t.equal(rows, answered);
  t.notOk(service.hasLogged(FAILED));
  await service.server.stop();
  const { waited_ms_max: waited } = readStopped(service.server);
  t.ok(waited >= 50 && waited < 250, `${waited} ms`);
});

t.test('another process that writes for 2 s makes clicks wait in memory, not redirects', async (t) => {
  const service = await startUnderLoad(t);
  const held = holdLock(service.dataDir, 2000);
  await untilDegraded(service.server, ['clicks_db']);
  await service.goOn();
  t.ok((await readLedger(service.server.managementUrl)).pending > 0);
  await held;
  await until('it recovers', () => service.hasLogged(RECOVERED));
  await service.goOn();
  const { ledger, rows, answered } = await service.finish();
  t.match(ledger, { counted: answered, dropped: 0, drift: 0 });
  t.equal(rows, answered);
});

t.test('a full disk makes clicks wait in memory, until there is room', async (t) => {
  const disk = mountSmallDisk(t, 100 * 1024);
  if (disk === null) return;
  const service = await startUnderLoad(t, disk.path);
  disk.fill();
  await until('clicks wait', () => service.hasLogged(FAILED), 60_000);
  await untilDegraded(service.server, ['clicks_db', 'disk']);
  await service.goOn();
  t.ok((await readLedger(service.server.managementUrl)).pending >= 200);
  disk.free();
  await until('it recovers', () => service.hasLogged(RECOVERED));
  await service.goOn();
  const { ledger, rows, answered } = await service.finish();
  t.match(ledger, { counted: answered, dropped: 0, drift: 0 });
  t.equal(rows, answered);
});

t.test('a disk that is still full at the end: what waited is told to be lost', async (t) => {
  const disk = mountSmallDisk(t, 100 * 1024);
  if (disk === null) return;
  const { server, load, hasLogged, goOn } = await startUnderLoad(t, disk.path);
  disk.fill();
  await until('clicks wait', () => hasLogged(FAILED), 60_000);
  await goOn();
  const { answeredTotal } = await load.stop();
  t.same(await server.stop(), { code: 0, signal: null });
  const clicks = readStopped(server);
  t.match(clicks, { served: answeredTotal, pending: 0 });
  t.ok(clicks.dropped >= 200);
  const told = server.log().find(({ msg }) => String(msg).startsWith('clicks were lost'));
  t.match(told, { level: 'error', clicks: clicks.dropped });
});

t.test('a disk that reports errors makes clicks wait in memory, until it does not', async (t) => {
  if (!requireCommand(t, 'prlimit')) return;
  const service = await startUnderLoad(t);
  const { server } = service;
  // Writing beyond the limit is an I/O error to SQLite.
  const limit = (bytes: string) =>
    spawnSync('prlimit', ['--pid', String(server.child.pid), `--fsize=${bytes}:unlimited`]).status;
  t.equal(limit('4096'), 0);
  await until('clicks wait', () => service.hasLogged(FAILED));
  await untilDegraded(server, ['clicks_db']);
  await service.goOn();
  t.match(
    server.log().find(({ msg }) => msg === FAILED),
    { err: { code: /^SQLITE_IOERR/ } },
  );
  t.equal(limit('unlimited'), 0);
  await until('it recovers', () => service.hasLogged(RECOVERED));
  await service.goOn();
  const { ledger, rows, answered } = await service.finish();
  t.match(ledger, { counted: answered, dropped: 0, drift: 0 });
  t.equal(rows, answered);
});

t.test('a clicks.db that is deleted is made anew, and it is told what went with it', async (t) => {
  for (const names of [['clicks.db'], ['clicks.db', 'clicks.db-wal', 'clicks.db-shm']]) {
    const service = await startUnderLoad(t);
    for (const name of names) rmSync(join(service.dataDir, name));
    await until('it recovers', () => service.hasLogged(RECOVERED));
    t.ok(service.hasLogged(FAILED));
    await service.goOn();
    const { ledger, rows, answered } = await service.finish();
    t.match(ledger, { counted: answered, dropped: 0 });
    t.ok(ledger.drift > 0);
    t.equal(rows, answered - ledger.drift, 'rows, and what is told to be missing, are the answers');
    await service.server.stop();
  }
});

t.test('a clicks.db that is overwritten is set aside, and it is told what went with it', async (t) => {
  for (const names of [['clicks.db'], ['clicks.db', 'clicks.db-wal']]) {
    const service = await startUnderLoad(t);
    for (const name of names) {
      const path = join(service.dataDir, name);
      writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage '));
    }
    await until('it recovers', () => service.hasLogged(RECOVERED));
    await service.goOn();
    const { ledger, rows, answered } = await service.finish();
    t.match(ledger, { counted: answered, dropped: 0 });
    t.equal(rows, answered - ledger.drift, 'rows, and what is told to be missing, are the answers');
    const asides = readdirSync(service.dataDir).filter((name) => /damaged-\d+$/.test(name));
    t.equal(asides.length > 0, ledger.drift > 0, 'unless the WAL still had all of it');
    if (names.length === 2) t.equal(asides.length, 1);
    await service.server.stop();
  }
});

t.test('a clicks.db that cannot be opened at the start is repaired without a click', async (t) => {
  const dataDir = makeFolder(t);
  const path = join(dataDir, 'clicks.db');
  mkdirSync(path);
  const server = await startServer(t, { dataDir, release });
  await untilDegraded(server, ['clicks_db']);
  const links = await makeLinks(server.url, 1);
  t.equal((await ask('GET', `${server.url}/${links.keys[0]}`, { key: null })).status, 302);
  t.match(await readLedger(server.managementUrl), { served: 1, pending: 1 });
  rmSync(path, { recursive: true });
  await until('it is ready', async () => {
    const { body } = await ask('GET', `${server.url}/readyz`);
    return (body as { status: string }).status === 'ready';
  });
  t.match(await readLedger(server.managementUrl), { served: 1, counted: 1, pending: 0 });
  t.equal(sumOf(countRows(dataDir, links)), 1);
});
