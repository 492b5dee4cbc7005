// What becomes of a service whose disk is full or read-only, whose database is taken away, or whose log nobody reads:
// redirects go on, nothing that was acknowledged is lost, and once things are well again it recovers by itself.

import { once } from 'node:events';
import { closeSync, copyFileSync, openSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { spawnServer, startServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { query, readRefusal, useFolder } from '../support/trouble.ts';
import { until } from '../support/until.ts';

t.test('a reader of the log that goes away stops nothing', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  server.child.stdout?.destroy();
  for (let i = 0; i < 20; i++) {
    t.equal(
      (await ask('POST', `${server.url}/shorten`, { body: { url: `https://example.com/${i}` } })).status,
      201,
    );
  }
  t.same(await server.stop(), { code: 0, signal: null });
  t.equal(server.stderr(), '');
});

t.test('a reader of the log that is too slow loses lines, and is told how many', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  server.child.stdout?.pause();
  // Lines of some 12 kB, more than the 16 MB that may wait.
  const path = `/api/${'x'.repeat(12_000)}`;
  const count = 1600;
  for (let sent = 0; sent < count; sent += 50) {
    await Promise.all(Array.from({ length: 50 }, () => ask('GET', `${server.url}${path}`)));
  }
  server.child.stdout?.resume();
  const told = await until('it tells how many lines were dropped', () =>
    server.log().find(({ msg }) => msg === 'log lines were dropped'),
  );
  await server.stop();
  const written = server.log().filter((line) => line.path === path).length;
  t.match(told, { level: 'warn', pid: server.child.pid });
  t.equal(written + Number(told.dropped_lines), count, 'no line is unaccounted for');
});

t.test('a reader of the log that is stuck does not hold up a stop', async (t) => {
  const server = await startServer(t, { dataDir: makeFolder(t) });
  server.child.stdout?.pause();
  const path = `/api/${'x'.repeat(12_000)}`;
  await Promise.all(Array.from({ length: 100 }, () => ask('GET', `${server.url}${path}`)));
  server.kill('SIGINT');
  t.same(await once(server.child, 'exit'), [0, null]);
});

t.test('a log file on a full disk stops nothing, and is continued when there is room', async (t) => {
  const disk = mountSmallDisk(t, 256);
  if (disk === null) return;
  const path = join(disk.path, 'fleetlink.log');
  const file = openSync(path, 'a');
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const server = spawnServer(t, {
    dataDir: makeFolder(t),
    env: { PORT: String(port) },
    stdio: ['ignore', file, 'pipe'],
  });
  closeSync(file);
  await until('it is ready', async () => (await ask('GET', `${url}/readyz`)).status === 200);
  disk.fill();
  for (let i = 0; i < 50; i++) t.equal((await ask('GET', `${url}/full-${i}`)).status, 404);
  disk.free();
  t.equal((await ask('GET', `${url}/room`)).status, 404);
  t.same(await server.stop(), { code: 0, signal: null });
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const log = lines.map((line) => JSON.parse(line) as { path?: string; msg: string });
  const paths = new Set(log.map((line) => line.path));
  t.ok(
    Array.from({ length: 50 }, (_, i) => `/full-${i}`).every((wanted) => paths.has(wanted)),
    'no line is lost',
  );
  t.equal(log.at(-1)?.msg, 'stopped');
});

t.test('a DATA_DIR that cannot be written to is refused, empty and with a database', async (t) => {
  for (const isUsed of [false, true]) {
    const disk = mountSmallDisk(t, 4096);
    if (disk === null) return;
    if (isUsed) await useFolder(t, disk.path);
    disk.makeReadOnly();
    t.match(
      await readRefusal(t, { dataDir: disk.path }),
      /links\.db cannot be (?:opened|written to|made)[^.]*\. (?:Give the service the right to write to|Point) DATA_DIR/,
      isUsed ? 'with a database' : 'empty',
    );
  }
});

t.test('a disk that is full at the start is refused, empty and with a database', async (t) => {
  for (const isUsed of [false, true]) {
    const disk = mountSmallDisk(t, 4096);
    if (disk === null) return;
    if (isUsed) await useFolder(t, disk.path);
    disk.fill();
    t.match(
      await readRefusal(t, { dataDir: disk.path }),
      /the disk is full/,
      isUsed ? 'with a database' : 'empty',
    );
    disk.free();
    const server = await startServer(t, { dataDir: disk.path });
    t.same(await server.stop(), { code: 0, signal: null }, 'with room it starts');
    t.same(query(disk.path, 'pragma integrity_check'), ['ok']);
    t.same(query(disk.path, 'select count(*) from links'), [isUsed ? 1 : 0], 'and nothing is lost');
  }
});

t.test(
  'a disk that fills up while it runs stops creates, not redirects, and nothing needs a restart',
  async (t) => {
    const disk = mountSmallDisk(t, 4096);
    if (disk === null) return;
    const server = await startServer(t, { dataDir: disk.path });
    const made: string[] = [];
    const create = async () => {
      const target = `https://example.com/${made.length}/${'long'.repeat(500)}`;
      const answer = await ask('POST', `${server.url}/shorten`, { body: { url: target } });
      if (answer.status === 201) made.push((answer.body as { key: string }).key);
      return answer;
    };
    const followAll = async () => {
      for (const key of made) {
        const { status } = await ask('GET', `${server.url}/${key}`, { key: null });
        if (status !== 302) t.fail(`${key} is answered with ${status}`);
      }
    };
    await create();

    disk.fill();
    const refused = await until('a create is refused', async () => {
      const answer = await create();
      return answer.status !== 201 && answer;
    });
    t.equal(refused.status, 503);
    t.equal(refused.headers.get('retry-after'), '1');
    t.match(refused.body, {
      error: 'The disk is full. Links still redirect; free some space to make new ones.',
    });
    await followAll();
    const ready = await ask('GET', `${server.url}/readyz`);
    t.equal(ready.status, 200);
    t.match(ready.body, { status: 'degraded', reasons: ['clicks_db', 'disk'] });
    t.equal((await create()).status, 503);

    disk.free();
    t.equal((await create()).status, 201, 'with room it goes on');
    await followAll();
    t.same(await server.stop(), { code: 0, signal: null });
    t.same(query(disk.path, 'pragma integrity_check'), ['ok']);
    t.same(
      query(disk.path, 'select count(*) from links'),
      [made.length],
      'no refused link is there after all',
    );
  },
);

t.test(
  'a database that is deleted or replaced while it runs stops creates, not redirects, until it is back',
  async (t) => {
    const dataDir = makeFolder(t);
    const server = await startServer(t, { dataDir });
    const path = join(dataDir, 'links.db');
    const away = `${path}.away`;
    const other = `${path}.other`;
    const made: string[] = [];
    const create = async () => {
      const answer = await ask('POST', `${server.url}/shorten`, { body: { url: 'https://example.com/' } });
      if (answer.status === 201) made.push((answer.body as { key: string }).key);
      return answer;
    };
    const removals: Readonly<Record<string, () => void>> = {
      deleted: () => undefined,
      replaced: () => {
        copyFileSync(away, other);
        renameSync(other, path);
      },
    };
    await create();
    for (const [name, replace] of Object.entries(removals)) {
      renameSync(path, away);
      replace();
      const refused = await create();
      t.equal(refused.status, 503, name);
      t.match(refused.body, {
        error: /^The database was deleted or replaced while it was in use\. Links still/,
      });
      t.match((await ask('GET', `${server.url}/readyz`)).body, { status: 'unready', reasons: ['links_db'] });
      for (const key of made) t.equal((await ask('GET', `${server.url}/${key}`, { key: null })).status, 302);

      renameSync(away, path);
      t.equal((await create()).status, 201, `${name} and put back`);
      t.match((await ask('GET', `${server.url}/readyz`)).body, { status: 'ready', reasons: [] });
    }
    await server.stop('SIGKILL');
    t.same(
      query(dataDir, 'select key from links order by id'),
      made,
      'every acknowledged link is in the file, and no other',
    );
  },
);
