// Clicks on their way into clicks.db, on real files.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { sql } from 'kysely';
import t from 'tap';
import { clickOn, entriesOn, lockClicks, openClicks, queryClicks, readClicks } from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { mountSmallDisk } from '../support/small-disk.ts';

t.test('a click is stored as it is, its texts as words that clicks share', async (t) => {
  const { journal, dataDir } = await openClicks(t, { dataDir: t.testdir() });
  const whole = {
    reason: 'repeat',
    visitor: 2 ** 48 - 1,
    agent: 'Agent/1.0 (\u00e9\u00ff)',
    referrer: 'news.example.com',
    language: 'de',
    country: 'NL',
  } as const;
  t.equal(
    journal.append([
      { click: clickOn(7, whole), quota: null },
      { click: clickOn(8, whole), quota: null },
    ]),
    null,
  );
  t.equal(journal.append([{ click: null, quota: null }, ...entriesOn(2 ** 40)]), null);
  const nothing = { visitor: null, agent: null, referrer: null, language: null, country: null };
  const first = 2 ** 32 + 1;
  const atMs = clickOn(0).atMs;
  t.same(readClicks(dataDir), [
    { id: first, link_id: 7, at_ms: atMs, ...whole },
    { id: first + 1, link_id: 8, at_ms: atMs, ...whole },
    { id: first + 2, link_id: 2 ** 40, at_ms: atMs, reason: 'human', ...nothing },
  ]);
  t.same(queryClicks(dataDir, 'select kind, text from words order by kind'), [
    { kind: 1, text: whole.agent },
    { kind: 2, text: whole.referrer },
    { kind: 3, text: 'de' },
    { kind: 4, text: 'NL' },
  ]);
  t.same(
    queryClicks(dataDir, 'select distinct typeof(visitor) as type from clicks where visitor is not null'),
    [{ type: 'integer' }],
  );
});

t.test('each start is a segment of its own, and ids never meet', async (t) => {
  const dataDir = t.testdir();
  const clock = createFakeClock();
  const one = await openClicks(t, { dataDir, clock });
  const other = await openClicks(t, { dataDir, clock });
  for (let round = 0; round < 3; round++) {
    one.journal.append(entriesOn(1, 1));
    other.journal.append(entriesOn(2));
  }
  one.close();
  const later = await openClicks(t, { dataDir, clock });
  later.journal.append(entriesOn(3));
  const segments = queryClicks(dataDir, 'select id, started_at_ms, folded_to from segments order by id');
  const started = { started_at_ms: clock.nowMs(), folded_to: 0 };
  t.same(
    segments,
    [1, 2, 3].map((id) => ({ id, ...started })),
  );
  const ids = readClicks(dataDir).map(({ id, link_id }) => [Math.floor(id / 2 ** 32), id % 2 ** 32, link_id]);
  t.same(ids, [
    ...[1, 2, 3, 4, 5, 6].map((sequence) => [1, sequence, 1]),
    ...[1, 2, 3].map((sequence) => [2, sequence, 2]),
    [3, 1, 3],
  ]);
});

t.test('while another process writes nothing is stored, and nothing waits', async (t) => {
  const { journal, dataDir } = await openClicks(t, { dataDir: t.testdir() });
  const lock = lockClicks(t, dataDir);
  const before = performance.now();
  t.equal(journal.append(entriesOn(1)), 'busy');
  t.ok(performance.now() - before < 1000, 'the answer comes at once');
  lock.release();
  t.equal(journal.append(entriesOn(2)), null);
  t.same(
    readClicks(dataDir).map(({ link_id }) => link_id),
    [2],
  );
});

t.test(
  'a transaction that fails in the middle leaves nothing, and its numbers are given out again',
  async (t) => {
    const { journal, dataDir } = await openClicks(t, { dataDir: t.testdir() });
    journal.append(entriesOn(1));
    const fault = { click: clickOn(2, { agent: 'new', atMs: null as unknown as number }), quota: null };
    t.throws(() => journal.append([...entriesOn(2), fault]), { code: 'SQLITE_CONSTRAINT_NOTNULL' });
    t.same(queryClicks(dataDir, 'select * from words'), []);
    t.equal(journal.append([{ click: clickOn(3, { agent: 'new' }), quota: null }]), null);
    t.same(
      readClicks(dataDir).map(({ id, link_id, agent }) => [id % 2 ** 32, link_id, agent]),
      [
        [1, 1, null],
        [2, 3, 'new'],
      ],
      'the word of the failed one was made anew',
    );
  },
);

t.test('whatever else the file says is thrown', async (t) => {
  const { journal, database } = await openClicks(t, { dataDir: t.testdir() });
  journal.append(entriesOn(1));
  await sql`drop table clicks`.execute(database().writer);
  t.throws(() => journal.append(entriesOn(2)), { message: 'no such table: clicks' });
});

t.test('on a full disk nothing is stored, and all is once there is room', async (t) => {
  const disk = mountSmallDisk(t, 4096);
  if (disk === null) return;
  const { journal } = await openClicks(t, { dataDir: disk.path });
  journal.append([{ click: clickOn(1, { agent: 'known' }), quota: null }]);
  disk.fill();
  const many = Array.from({ length: 1000 }, (_, n) => ({
    click: clickOn(n, { agent: `${n} ${'x'.repeat(290)}` }),
    quota: null,
  }));
  for (let tries = 0; tries < 3; tries++) t.throws(() => journal.append(many), { code: 'SQLITE_FULL' });
  disk.free();
  t.equal(journal.append(many), null);
  const agents = readClicks(disk.path).map(({ agent }) => agent);
  t.same(agents, ['known', ...many.map(({ click }) => click.agent)]);
});

t.test('a quota that is used up stores nothing', async (t) => {
  const { journal, dataDir } = await openClicks(t, { dataDir: t.testdir() });
  const quota = { linkId: 5, clicksMax: 2, setBySeq: 1, isOnlyAsked: false };
  const entry = { click: clickOn(5), quota };
  t.equal(journal.append([entry]), null);
  t.same(journal.append([...entriesOn(1), entry, entry, ...entriesOn(2)]), [
    'stored',
    'stored',
    'spent',
    'stored',
  ]);
  t.same(
    readClicks(dataDir).map(({ link_id }) => link_id),
    [5, 1, 5, 2],
  );
});

t.test('a quota from before the file is not known', async (t) => {
  const { journal } = await openClicks(t, { dataDir: t.testdir(), readSeq: () => 10 });
  const take = (setBySeq: number) =>
    journal.append([{ click: clickOn(1), quota: { linkId: 1, clicksMax: 1, setBySeq, isOnlyAsked: false } }]);
  t.same(take(10), ['unknown']);
  t.equal(take(11), null);
});

t.test('durability is what SQLite syncs', async (t) => {
  for (const [durability, synchronous] of [
    ['process', 1],
    ['power', 2],
  ] as const) {
    const { database } = await openClicks(t, { dataDir: t.testdir(), durability });
    const shown = database().connect((connection) => connection.pragma('synchronous', { simple: true }));
    t.equal(shown, synchronous, durability);
  }
});

t.test('closing leaves one file', async (t) => {
  const { journal, dataDir, close } = await openClicks(t, { dataDir: t.testdir() });
  journal.append(entriesOn(1));
  close();
  t.notOk(existsSync(join(dataDir, 'clicks.db-wal')));
  const db = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  t.same(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
});
