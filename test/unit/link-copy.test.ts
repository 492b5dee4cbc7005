// A host's copy of shared links, on a real file that two processes of the host write to.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import {
  type FeedEnd,
  FILLED,
  type History,
  type KeyState,
  type LinkCopy,
} from '../../app/fleet/link-copy.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import { COPY_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { createLinkCopy } from '../../app/store/sqlite/link-copy.ts';
import { openDatabase } from '../../app/store/sqlite/open-database.ts';
import { createRedirectLookup } from '../../app/store/sqlite/redirect-lookup.ts';

const OF: History = { database: 1, begun: 100 };
/** After a server took over, which was started earlier. */
const LATER: History = { database: 1, begun: 50 };
const OTHER: History = { database: 2, begun: 100 };

function stateOf(key: string, asOf: number, url: string | null, of = OF): KeyState {
  const facts = {
    id: 1,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
  } as const;
  return { key, asOf, of, facts: url === null ? null : { ...facts, url, maxClicksSeq: 0 } };
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

async function openBegun(t: Test, dataDir: string, clock = systemClock) {
  const copy = await open(t, dataDir, clock);
  await begin(copy, { of: OF, last: 0 });
  return copy;
}

async function begin(copy: LinkCopy, end: FeedEnd): Promise<void> {
  await copy.begin(end, await copy.readPlace());
}

t.test('of two states of a key the later one stays, in whatever order they come', async (t) => {
  const copy = await openBegun(t, t.testdir());
  const urlOf = (key: string) => copy.lookup(key)?.url ?? null;
  await copy.write([stateOf('a', 2, 'https://example.com/2')]);
  await copy.write([stateOf('a', 1, 'https://example.com/1')]);
  t.equal(urlOf('a'), 'https://example.com/2');
  await copy.write([stateOf('a', 3, null)]);
  t.equal(urlOf('a'), null);
  await copy.write([stateOf('a', 2, 'https://example.com/2')]);
  t.equal(urlOf('a'), null, 'also that nothing has it');
  t.equal((await copy.readPlace())?.newest, 3);
  await copy.write([stateOf('a', 4, 'https://example.com/4'), stateOf('b', 4, 'https://example.com/b')]);
  t.same([urlOf('a'), urlOf('b')], ['https://example.com/4', 'https://example.com/b']);
});

t.test('what one process writes the other one finds', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await openBegun(t, dataDir), await open(t, dataDir)];
  t.equal(other.lookup('a'), null);
  await one.write([stateOf('a', 1, 'https://example.com/1')]);
  await nextTurn();
  t.match(other.lookup('a'), { url: 'https://example.com/1' });
});

t.test('a mark is moved from where it was found, in the history it was found in', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await openBegun(t, dataDir), await open(t, dataDir)];
  const positionOf = async (copy: LinkCopy) => (await copy.readPlace())?.position;
  await one.write([], { mark: 'position', of: OF, from: 0, to: 7 });
  await other.write([], { mark: 'position', of: OF, from: 0, to: 5 });
  t.equal(await positionOf(one), 7, 'another one has moved it meanwhile');
  await other.write([], { mark: 'position', of: LATER, from: 7, to: 9 });
  t.equal(await positionOf(one), 7);
  await other.write([], { mark: 'filled_to', of: OF, from: null, to: 3 });
  t.equal(await one.readFilledTo(), 3);
  await begin(one, { of: LATER, last: 4 });
  t.match(await other.readPlace(), { of: LATER, run: 2, position: 4, newest: 4 });
  t.equal(await other.readFilledTo(), null, 'it is filled anew');
  await other.write([], { mark: 'filled_to', of: LATER, from: 3, to: 6 });
  t.equal(await one.readFilledTo(), null, 'and not from where it was');
});

t.test('a new copy takes nothing before it follows a history', async (t) => {
  const copy = await open(t, t.testdir());
  t.equal(await copy.readPlace(), null);
  await copy.write([stateOf('a', 1, 'https://example.com/1')], {
    mark: 'position',
    of: OF,
    from: null,
    to: 1,
  });
  t.equal(copy.lookup('a'), null);
  t.equal(await copy.readPlace(), null);
});

t.test('a copy of another database is forgotten by everybody who remembers it', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await openBegun(t, dataDir), await open(t, dataDir)];
  await one.write([stateOf('a', 9, 'https://example.com/1')]);
  await nextTurn();
  t.ok(other.lookup('a'));
  await nextTurn();
  await begin(one, { of: OTHER, last: 0 });
  await nextTurn();
  t.same([one.lookup('a'), other.lookup('a')], [null, null]);
  await other.write([stateOf('a', 1, 'https://example.com/new', OTHER)]);
  t.match(one.lookup('a') ?? (await nextTurn().then(() => one.lookup('a'))), {
    url: 'https://example.com/new',
  });
});

t.test('also by who is told of other keys before and after it', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await openBegun(t, dataDir), await open(t, dataDir)];
  await one.write([stateOf('a', 9, 'https://example.com/1')]);
  await nextTurn();
  t.ok(other.lookup('a'));
  await nextTurn();
  await one.write([stateOf('b', 9, 'https://example.com/1')]);
  await begin(one, { of: OTHER, last: 0 });
  await one.write([stateOf('c', 1, 'https://example.com/1', OTHER)]);
  await nextTurn();
  t.equal(other.lookup('a'), null);
});

t.test('what was read from one database does not land in the copy of another one', async (t) => {
  const copy = await openBegun(t, t.testdir());
  const read = stateOf('a', 9, 'https://example.com/old');
  await begin(copy, { of: OTHER, last: 3 });
  await copy.write([read], { mark: 'position', of: OF, from: 3, to: 9 });
  t.equal(copy.lookup('a'), null);
  t.match(await copy.readPlace(), { of: OTHER, position: 3, newest: 3 });
});

t.test('of two processes that find another history, one begins anew', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await openBegun(t, dataDir), await open(t, dataDir)];
  const found = await other.readPlace();
  await begin(one, { of: LATER, last: 4 });
  await one.write([], { mark: 'filled_to', of: LATER, from: null, to: 3 });
  await other.begin({ of: LATER, last: 6 }, found);
  t.match(await other.readPlace(), { run: 2, position: 0, newest: 4 }, 'and goes on where it was');
  t.equal(await one.readFilledTo(), 3);
});

t.test(
  'after a failover known keys redirect until they are known better, and lost ones go at last',
  async (t) => {
    const copy = await openBegun(t, t.testdir());
    const urlOf = (key: string) => copy.lookup(key)?.url ?? null;
    const keys = ['changed', 'lost', 'same', 'told late'];
    await copy.write(keys.map((key) => stateOf(key, 90, `https://example.com/${key}`)));
    await begin(copy, { of: LATER, last: 80 });
    t.same(
      keys.map(urlOf),
      keys.map((key) => `https://example.com/${key}`),
    );
    t.equal(await copy.forgetUnconfirmed(2, ''), null, 'nothing goes before all is filled in');
    await copy.write([stateOf('changed', 80, 'https://example.com/as-before', LATER)]);
    t.equal(urlOf('changed'), 'https://example.com/as-before', 'an earlier number of a later history');
    await copy.write([stateOf('told late', 91, 'https://example.com/late')]);
    t.equal(urlOf('told late'), null, 'nobody knows which server has that change');
    await copy.write([stateOf('same', 80, 'https://example.com/same', LATER)], {
      mark: 'filled_to',
      of: LATER,
      from: null,
      to: FILLED,
    });
    t.equal(await copy.forgetUnconfirmed(1, ''), null, 'who looks for an earlier run finds nothing');
    t.equal(await copy.forgetUnconfirmed(2, ''), 'same');
    t.equal(await copy.forgetUnconfirmed(2, 'same'), null);
    t.same(['changed', 'lost', 'same'].map(urlOf), [
      'https://example.com/as-before',
      null,
      'https://example.com/same',
    ]);
    t.equal(await copy.forgetUnconfirmed(2, ''), null, 'and nobody looks again');
  },
);

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
  const copy = await openBegun(t, dataDir, clock);
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
