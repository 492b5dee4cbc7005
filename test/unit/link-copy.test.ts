// A host's copy of shared links, on a real file that two processes of the host write to.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import type { KeyState } from '../../app/fleet/link-copy.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import { COPY_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { createLinkCopy } from '../../app/store/sqlite/link-copy.ts';
import { openDatabase } from '../../app/store/sqlite/open-database.ts';
import { createRedirectLookup } from '../../app/store/sqlite/redirect-lookup.ts';

function stateOf(key: string, asOf: number, url: string | null): KeyState {
  const facts = {
    id: 1,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
  } as const;
  return { key, asOf, facts: url === null ? null : { ...facts, url, maxClicksSeq: 0 } };
}

async function open(t: Test, dataDir: string, clock = systemClock) {
  const db = await openDatabase({
    path: join(dataDir, 'copy.db'),
    schema: COPY_SCHEMA,
    migrate: 'auto',
    dialect: createSqliteDialect({ clock, random: Math.random }),
    synchronous: 'NORMAL',
  });
  t.teardown(db.close);
  const lookup = createRedirectLookup(db.readerConnection);
  return db.connect((connection) => createLinkCopy({ connection, lookup, clock, random: Math.random }));
}

t.test('of two states of a key the later one stays, in whatever order they come', async (t) => {
  const copy = await open(t, t.testdir());
  const urlOf = (key: string) => copy.lookup(key)?.url ?? null;
  await copy.write([stateOf('a', 2, 'https://example.com/2')]);
  await copy.write([stateOf('a', 1, 'https://example.com/1')]);
  t.equal(urlOf('a'), 'https://example.com/2');
  await copy.write([stateOf('a', 3, null)]);
  t.equal(urlOf('a'), null);
  await copy.write([stateOf('a', 2, 'https://example.com/2')]);
  t.equal(urlOf('a'), null, 'also that nothing has it');
  t.equal(await copy.readMark('newest'), 3);
  await copy.write([stateOf('a', 4, 'https://example.com/4'), stateOf('b', 4, 'https://example.com/b')]);
  t.same([urlOf('a'), urlOf('b')], ['https://example.com/4', 'https://example.com/b']);
});

t.test('what one process writes the other one finds, and marks only rise', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  t.equal(other.lookup('a'), null);
  t.equal(await other.readMark('position'), null);
  await one.write([stateOf('a', 1, 'https://example.com/1')], { position: 7 });
  await nextTurn();
  t.match(other.lookup('a'), { url: 'https://example.com/1' });
  await other.write([], { position: 5, filled_to: 3 });
  t.same([await one.readMark('position'), await one.readMark('filled_to')], [7, 3]);
});

t.test('a copy that is cleared is forgotten by everybody who remembers it', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  await one.write([stateOf('a', 9, 'https://example.com/1')], { position: 9 });
  await nextTurn();
  t.ok(other.lookup('a'));
  await nextTurn();
  await one.clear();
  await nextTurn();
  t.same([one.lookup('a'), other.lookup('a')], [null, null]);
  t.equal(await other.readMark('position'), null);
  await other.write([stateOf('a', 1, 'https://example.com/new')], { position: 1 });
  t.match(one.lookup('a') ?? (await nextTurn().then(() => one.lookup('a'))), {
    url: 'https://example.com/new',
  });
});

t.test('a write waits for the other process of the host, and not for ever', async (t) => {
  const dataDir = t.testdir();
  let nowMs = 0;
  const clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: (ms: number) => {
      nowMs += 1000;
      return systemClock.sleep(ms);
    },
  };
  const copy = await open(t, dataDir, clock);
  const lock = new Database(join(dataDir, 'copy.db'));
  t.teardown(() => lock.close());
  lock.exec('begin immediate');
  const written = copy.write([stateOf('a', 1, 'https://example.com/1')]);
  await nextTurn();
  lock.exec('rollback');
  await written;
  t.ok(copy.lookup('a'));
  lock.exec('begin immediate');
  await t.rejects(copy.write([stateOf('b', 2, 'https://example.com/2')]), { code: 'unavailable' });
  lock.exec('rollback');
});
