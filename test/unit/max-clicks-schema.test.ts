// The schema with `max_clicks`, and the one before it: code of either on a database of the other.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import { LINK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { type OpenDatabase, openDatabase } from '../../app/store/sqlite/open-database.ts';
import { applyForLink } from '../contract/store.ts';
import { openStore as openWholeStore } from '../support/store.ts';

const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });

/** As code of schema 1 opens it. */
async function openAtOne(t: Test, dataDir: string): Promise<OpenDatabase> {
  const [first] = LINK_SCHEMA.migrations;
  const schema = { ...LINK_SCHEMA, migrations: first === undefined ? [] : [first] };
  const path = join(dataDir, 'links.db');
  const db = await openDatabase({ path, schema, migrate: 'auto', dialect, synchronous: 'FULL' });
  t.teardown(() => db.close());
  return db;
}

async function openStore(t: Test, dataDir: string) {
  const store = await openWholeStore({ dataDir });
  t.teardown(() => store.close());
  return store;
}

/** What code of schema 1 writes when it makes a link, and when it changes one. */
const INSERT = `insert into links (domain, key, url, status, redirect_status, expires_at_ms, title, tags, version, seq,
  created_by, created_at_ms, updated_at_ms, deleted_at_ms, released, search)
  values ('', ?, 'https://example.com/', 'enabled', 302, null, null, '[]', 1, ?, 'x', 5, 5, null, 0, '')`;
const UPDATE = `update links set domain = '', key = ?, url = 'https://example.com/', status = 'enabled', redirect_status = 302,
  expires_at_ms = null, title = 'Old', tags = '[]', version = 9, seq = ?, created_by = 'x', created_at_ms = 5,
  updated_at_ms = 5, deleted_at_ms = null, released = 0, search = '' where key = ?`;
const EVENT = `insert into events (seq, type, link_id, domain, key, version, "by", at_ms, options)
  values (?, ?, ?, '', ?, ?, 'x', 5, '{"url":"https://example.com/","title":null,"tags":[],"status":"enabled",'
  || '"redirectStatus":302,"expiresAtMs":null}')`;
const COUNT = "update sequences set value = value + 1 where name = 'event'";

const OPTIONS = {
  url: 'https://example.com/',
  title: null,
  tags: [],
  status: 'enabled',
  redirectStatus: 302,
  expiresAtMs: null,
  maxClicks: null,
};

t.test('links of an older database have no limit, in no version, until one is set', async (t) => {
  const dataDir = t.testdir();
  const old = await openAtOne(t, dataDir);
  const connection = old.connect((connection) => connection);
  connection.prepare(INSERT).run('old', 1);
  connection.prepare(EVENT).run(1, 'created', 1, 'old', 1);
  connection.exec(COUNT);
  old.close();

  const { links, probe } = await openStore(t, dataDir);
  await t.resolves(probe());
  const link = await links.findLink({ key: 'old' });
  t.match(link, { ...OPTIONS, id: 1, seq: 1, maxClicksSeq: 0 });
  t.same(await links.lookup('old'), {
    id: 1,
    url: OPTIONS.url,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
    maxClicksSeq: 0,
  });
  const renamed = await applyForLink(links, { type: 'update', ref: { id: 1 }, changes: { title: 'New' } });
  t.match(renamed, { title: 'New', maxClicks: null, seq: 2, maxClicksSeq: 0 });
  const limited = await applyForLink(links, { type: 'update', ref: { id: 1 }, changes: { maxClicks: 5 } });
  t.match(limited, { maxClicks: 5, seq: 3, maxClicksSeq: 3 });
  const history = await links.listHistory(1, { limit: 10, beforeVersion: null });
  t.same(
    history.map(({ options, before }) => [before?.maxClicks, options.maxClicks]),
    [
      [null, 5],
      [null, null],
      [undefined, null],
    ],
  );
  t.same(history.at(-1)?.options, OPTIONS);
  const reverted = await applyForLink(links, { type: 'revert', ref: { id: 1 }, version: 1 });
  t.match(reverted, { ...OPTIONS, seq: 4, maxClicksSeq: 4 }, 'an older version is one without a limit');
});

t.test(
  'code of schema 1 goes on while another process migrates, and keeps the limits of others',
  async (t) => {
    const dataDir = t.testdir();
    const old = await openAtOne(t, dataDir);
    const writing = old.connect((connection) => connection);
    const insert = writing.prepare(INSERT);
    const update = writing.prepare(UPDATE);
    insert.run('one', 1);
    writing.exec(COUNT);
    const readAll = () => old.reader.selectFrom('links').selectAll().orderBy('id').execute();
    t.equal((await readAll()).length, 1);

    const { links } = await openStore(t, dataDir);
    const made = await applyForLink(links, {
      type: 'create',
      candidates: ['two'],
      options: { ...OPTIONS, status: 'enabled', redirectStatus: 302, maxClicks: 5 },
    });
    t.match(made, { maxClicks: 5, seq: 2, maxClicksSeq: 2 });
    t.match(await readAll(), [
      { key: 'one', url: OPTIONS.url, released: 0 },
      { key: 'two', url: OPTIONS.url, released: 0 },
    ]);

    insert.run('three', 3);
    update.run('two', 4, 'two');
    writing.prepare(EVENT).run(4, 'updated', made.id, 'two', 2);
    t.match(await links.findLink({ key: 'three' }), { maxClicks: null, maxClicksSeq: 0 });
    t.match(await links.findLink({ key: 'two' }), { title: 'Old', seq: 4, maxClicks: 5, maxClicksSeq: 2 });
    t.same(
      (await links.listHistory(made.id, { limit: 1, beforeVersion: null })).map(({ options }) => options),
      [OPTIONS],
      'what it wrote of the past has no word of a limit',
    );

    old.close();
    await t.resolves(openAtOne(t, dataDir), 'and it starts on the new schema');
  },
);
