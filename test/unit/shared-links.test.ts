// How redirects find links where hosts share a database, and how a host follows its changes. Copy and feed are maps.
import t from 'tap';
import { createFollower } from '../../app/fleet/follower.ts';
import {
  type ChangeFeed,
  type CopyPlace,
  type History,
  isSameHistory,
  type KeyState,
  type LinkCopy,
} from '../../app/fleet/link-copy.ts';
import { createSharedLookup } from '../../app/fleet/shared-links.ts';
import { AppError } from '../../app/kernel/errors.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import type { RedirectFacts } from '../../app/links/link.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function factsOf(id: number, url = `https://example.com/${id}`): RedirectFacts {
  return {
    id,
    url,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
    maxClicksSeq: 0,
  };
}

function createCopy() {
  const states = new Map<string, KeyState & { run: number }>();
  let place: CopyPlace | null = null;
  const copy: LinkCopy = {
    lookup: (key) => states.get(key)?.facts ?? null,
    readPlace: async () => place,
    readFilledTo: async () => null,
    async write(news, step) {
      if (place === null) return;
      const { run, of } = place;
      for (const state of news) {
        const known = states.get(state.key);
        if (!isSameHistory(state.of, of)) states.delete(state.key);
        else if (known?.run !== run || state.asOf > known.asOf) states.set(state.key, { ...state, run });
      }
      const newest = Math.max(place.newest, ...news.map(({ asOf }) => asOf));
      place = { ...place, newest, ...(step && { [step.mark]: step.to }) };
    },
    async begin({ of, last }) {
      const isKnown = place?.of.database === of.database;
      if (!isKnown) states.clear();
      const position = isKnown ? Math.min(place?.position ?? last, last) : last;
      place = { of, run: (place?.run ?? 0) + 1, position, newest: last };
    },
    forgetUnconfirmed: async () => null,
  };
  return { copy, position: () => place?.position };
}

/** What the database has, and whether it answers. */
function createDatabase() {
  const links = new Map<string, RedirectFacts>();
  const changes: string[] = [];
  const asked: string[] = [];
  let answer: () => Promise<void> = async () => undefined;
  let of = { database: 1, begun: 1 };
  const stateOf = (key: string): KeyState => ({
    key,
    asOf: changes.length,
    of,
    facts: links.get(key) ?? null,
  });
  const feed: ChangeFeed = {
    async readEnd() {
      await answer();
      return { of, last: changes.length };
    },
    async readChanges(position) {
      asked.push(`changes behind ${position}`);
      await answer();
      const upTo = Math.min(position + 2, changes.length);
      const states = [...new Set(changes.slice(position, upTo))].map(stateOf);
      return { states, upTo, last: changes.length, isEnd: upTo === changes.length, of };
    },
    async readKeys(keys) {
      asked.push(keys.join(' '));
      await answer();
      return keys.map(stateOf);
    },
  };
  return {
    feed,
    asked,
    change(key: string, facts: RedirectFacts | null) {
      if (facts === null) links.delete(key);
      else links.set(key, facts);
      changes.push(key);
    },
    history: () => of,
    forget: (count = changes.length) => changes.splice(changes.length - count),
    become: (other: Partial<History>) => {
      of = { ...of, ...other };
    },
    answerWith: (how: typeof answer) => {
      answer = how;
    },
  };
}

function start({ staleMaxMs = Number.POSITIVE_INFINITY } = {}) {
  const clock = createFakeClock();
  const database = createDatabase();
  const { copy, position } = createCopy();
  const told: unknown[] = [];
  const follower = createFollower({
    clock,
    copy,
    feed: database.feed,
    onOtherHistory: (isOtherDatabase) => told.push(isOtherDatabase ? 'another database' : 'another history'),
  });
  /** What becomes of the next writes; null: they are done. */
  const failing: { write: (() => Promise<void>) | null } = { write: null };
  const lookup = createSharedLookup({
    clock,
    copy: {
      ...copy,
      write: (...args) => failing.write?.() ?? copy.write(...args),
    },
    feed: database.feed,
    follower,
    staleMaxMs,
    onCopyFailed: (error) => told.push(error),
  });
  return { clock, database, copy, position, told, follower, lookup, failing };
}

const gone = () => Promise.reject(new AppError('unavailable', 'gone'));
const never = () => new Promise<void>(() => undefined);

t.test('a fresh copy answers at once, without the database', async (t) => {
  const { database, follower, lookup } = start();
  await follower.catchUp();
  database.change('autumn', factsOf(1));
  await follower.catchUp();
  database.asked.length = 0;
  t.same(lookup('autumn'), factsOf(1));
  t.same(database.asked, []);
});

t.test('a new copy begins at the end, and asks for what was before key by key', async (t) => {
  const { database, follower, lookup, position } = start();
  for (const key of ['a', 'b', 'c']) database.change(key, factsOf(key.charCodeAt(0)));
  t.equal(position(), undefined);
  t.equal(follower.ageMs(), Number.POSITIVE_INFINITY);
  await follower.catchUp();
  t.equal(position(), 3);
  t.same(await lookup('b'), factsOf(98));
  t.same(lookup('b'), factsOf(98), 'and has it from then on');
});

t.test('changes come in portions, the last of a key as it is now', async (t) => {
  const { database, follower, lookup } = start();
  await follower.catchUp();
  for (let time = 1; time <= 5; time++) database.change('autumn', factsOf(1, `https://example.com/${time}`));
  database.change('gone', factsOf(2));
  database.change('gone', null);
  await follower.catchUp();
  t.match(lookup('autumn'), { url: 'https://example.com/5' });
  t.equal(await lookup('gone'), null);
});

t.test('keys that are not in the copy are asked for together, one question at a time', async (t) => {
  const { database, follower, lookup } = start();
  await follower.catchUp();
  database.change('late', factsOf(1));
  database.asked.length = 0;
  const answers = ['a', 'b', 'late', 'b'].map(lookup);
  t.same(await Promise.all(answers), [null, null, factsOf(1), null]);
  t.same(database.asked, ['a', 'b late']);
});

t.test('a key waits for a second, however many are asked for before it', async (t) => {
  const { lookup, database, clock, follower } = start();
  await follower.catchUp();
  database.answerWith(never);
  const refused: string[] = [];
  const ask = async (key: string) => {
    await t.rejects(lookup(key) as Promise<unknown>, { code: 'unavailable' });
    refused.push(key);
  };
  const first = ask('a');
  await clock.advance(600);
  const second = ask('b');
  await clock.advance(400);
  await first;
  t.same(refused, ['a']);
  await clock.advance(600);
  await second;
  t.same(refused, ['a', 'b']);
});

t.test('a key that waited in vain behind many others is asked for anew', async (t) => {
  const { lookup, database, clock, follower } = start();
  await follower.catchUp();
  database.answerWith(never);
  // The first one alone, then as many as go together, and one that is left.
  const keys = ['first', ...Array.from({ length: 500 }, (_, index) => `k${index}`), 'left'];
  const refused = Promise.all(keys.map((key) => t.rejects(lookup(key) as Promise<unknown>)));
  await clock.advance(1000);
  await refused;
  database.answerWith(async () => undefined);
  await clock.advance(500);
  const again = lookup('left') as Promise<unknown>;
  await clock.advance(500);
  t.equal(await again, null);
});

t.test('that nobody has a key is not remembered', async (t) => {
  const { database, follower, lookup } = start();
  await follower.catchUp();
  t.equal(await lookup('autumn'), null);
  database.change('autumn', factsOf(1));
  t.same(await lookup('autumn'), factsOf(1));
});

t.test('more keys than may wait are refused', async (t) => {
  const { database, follower, lookup } = start();
  await follower.catchUp();
  database.answerWith(never);
  for (let number = 0; number <= 10_000; number++) {
    Promise.resolve(lookup(`k${number}`)).catch(() => undefined);
  }
  t.throws(() => lookup('one-more'), { code: 'unavailable' });
});

t.test('a copy that is too old catches up first', async (t) => {
  const { clock, database, follower, lookup } = start();
  await follower.catchUp();
  database.change('autumn', factsOf(1));
  await follower.catchUp();
  database.change('autumn', factsOf(1, 'https://example.com/new'));
  await clock.advance(3000);
  t.match(lookup('autumn'), { url: 'https://example.com/1' }, 'of three seconds is fresh');
  await clock.advance(1);
  t.match(await lookup('autumn'), { url: 'https://example.com/new' });
  t.ok(follower.ageMs() < 3000);
});

t.test(
  'redirects wait for a database that does not answer all together, once a second, for 200 ms',
  async (t) => {
    const { clock, database, follower, lookup } = start();
    await follower.catchUp();
    database.change('autumn', factsOf(1));
    await follower.catchUp();
    await clock.advance(5000);
    database.answerWith(never);
    const waiting = [lookup('autumn'), lookup('autumn')];
    await clock.advance(199);
    let isAnswered = false;
    void Promise.resolve(waiting[0]).then(() => {
      isAnswered = true;
    });
    await nextTurn();
    t.notOk(isAnswered);
    await clock.advance(1);
    t.same(await Promise.all(waiting), [factsOf(1), factsOf(1)], 'however old');
    t.same(lookup('autumn'), factsOf(1), 'the next ones at once');
    await clock.advance(1000);
    t.ok(lookup('autumn') instanceof Promise);
  },
);

t.test('what a database that is gone does not tell is not pretended', async (t) => {
  const { clock, database, follower, lookup } = start();
  await follower.catchUp();
  database.answerWith(gone);
  await t.rejects(Promise.resolve(lookup('unknown')), { code: 'unavailable' });
  await clock.advance(5000);
  await t.rejects(
    Promise.resolve(lookup('nobody')),
    { code: 'unavailable' },
    'somebody may have made it since',
  );
  database.answerWith(never);
  const asked = t.rejects(Promise.resolve(lookup('unknown')), { code: 'unavailable', retryAfterSeconds: 1 });
  await clock.advance(1000);
  await asked;
});

t.test('a copy may be too old to be answered from', async (t) => {
  const { clock, database, follower, lookup } = start({ staleMaxMs: 60_000 });
  await follower.catchUp();
  database.change('autumn', factsOf(1));
  await follower.catchUp();
  database.answerWith(gone);
  await clock.advance(60_000);
  t.same(await lookup('autumn'), factsOf(1));
  await clock.advance(1001);
  await t.rejects(Promise.resolve(lookup('autumn')), { code: 'unavailable' });
});

t.test('a link that cannot be copied is followed all the same', async (t) => {
  const { database, follower, lookup, told, failing } = start();
  database.change('autumn', factsOf(1));
  await follower.catchUp();
  failing.write = () => Promise.reject(new Error('full'));
  t.same(await lookup('autumn'), factsOf(1));
  await nextTurn();
  t.match(told, [{ message: 'full' }]);
});

t.test('nobody waits for a link to be copied, and one that is not is asked for again', async (t) => {
  const { database, follower, lookup, failing } = start();
  database.change('autumn', factsOf(1));
  database.change('winter', factsOf(2));
  await follower.catchUp();
  let finish = (): void => undefined;
  let writes = 0;
  failing.write = () => {
    writes++;
    return new Promise((resolve) => {
      finish = resolve;
    });
  };
  t.same(await lookup('autumn'), factsOf(1));
  t.same(await lookup('winter'), factsOf(2));
  t.equal(writes, 1, 'one at a time');
  finish();
  await nextTurn();
  failing.write = null;
  const asked = database.asked.length;
  t.same(await lookup('winter'), factsOf(2));
  t.same(database.asked.slice(asked), ['winter']);
  await nextTurn();
  t.same(lookup('winter'), factsOf(2), 'at once from now on');
});

t.test('a database that knows less than the copy has lost changes', async (t) => {
  const { database, follower, told, position } = start();
  await follower.catchUp();
  for (const key of ['a', 'b', 'c']) database.change(key, factsOf(1));
  await follower.catchUp();
  database.forget();
  database.change('c', null);
  await follower.catchUp();
  t.same(told, ['another history']);
  t.equal(position(), 1);
});

t.test('also than what this host changed itself and has not heard of yet', async (t) => {
  const { database, copy, follower, told } = start();
  await follower.catchUp();
  database.change('autumn', factsOf(1));
  await copy.write([{ key: 'autumn', asOf: 1, of: database.history(), facts: factsOf(1) }]);
  database.change('autumn', null);
  database.forget();
  await follower.catchUp();
  t.same(told, ['another history']);
});

t.test('what this host changes while it asks is no other history', async (t) => {
  const { database, copy, follower, lookup, told } = start();
  await follower.catchUp();
  const state = { key: 'autumn', asOf: 1, of: database.history(), facts: factsOf(1) };
  database.answerWith(() => copy.write([state]));
  await follower.catchUp();
  t.same(told, []);
  t.same(lookup('autumn'), factsOf(1));
});

t.test('another database is known by its number, however much it knows', async (t) => {
  const { database, follower, lookup, told } = start();
  database.change('autumn', factsOf(1));
  await follower.catchUp();
  t.same(await lookup('autumn'), factsOf(1));
  database.become({ database: 2 });
  for (let time = 0; time < 5; time++) database.change('other', factsOf(2));
  database.change('autumn', null);
  await follower.catchUp();
  t.same(told, ['another database']);
  t.equal(await lookup('autumn'), null);
});

t.test(
  'a server that took over without the last changes is known, however many were made there since',
  async (t) => {
    const { database, copy, follower, lookup, told } = start();
    await follower.catchUp();
    database.change('autumn', factsOf(1));
    await follower.catchUp();
    database.change('autumn', factsOf(1, 'https://example.com/lost'));
    await follower.catchUp();
    // What was lost, and others have gone on.
    database.forget(1);
    database.become({ begun: 2 });
    database.change('winter', factsOf(2));
    database.change('spring', factsOf(3));
    await follower.catchUp();
    t.same(told, ['another history']);
    t.match(lookup('autumn'), { url: 'https://example.com/lost' }, 'it goes on redirecting');
    await copy.write([{ key: 'autumn', asOf: 1, of: database.history(), facts: factsOf(1) }]);
    t.same(lookup('autumn'), factsOf(1), 'until it is known better, as of whichever change');
  },
);

t.test('nor where the copy cannot be read', async (t) => {
  const { clock, copy, database } = start();
  const follower = createFollower({
    clock,
    copy: { ...copy, readPlace: () => Promise.reject(new Error('unreadable')) },
    feed: database.feed,
    onOtherHistory: () => t.fail('nothing is known of another one'),
  });
  await t.rejects(follower.catchUp(), { message: 'unreadable' });
  t.equal(follower.silentMs(), 0);
  t.equal(follower.ageMs(), Number.POSITIVE_INFINITY);
  database.answerWith(gone);
  await clock.advance(1000);
  await t.rejects(follower.catchUp(), { message: 'gone' });
  t.equal(follower.silentMs(), 1000);
});

t.test('a database that answers is not called silent where its answer cannot be kept', async (t) => {
  const { clock, database, copy, follower } = start();
  t.equal(follower.silentMs(), Number.POSITIVE_INFINITY);
  await follower.catchUp();
  await clock.advance(5000);
  copy.write = () => Promise.reject(new Error('full'));
  database.change('autumn', factsOf(1));
  await t.rejects(follower.catchUp(), { message: 'full' });
  t.same([follower.ageMs(), follower.silentMs()], [5000, 0]);
});
