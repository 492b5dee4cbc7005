// What hosts of a fleet do beside the service: filling a copy, shipping clicks, sharing limits and salts.
import t from 'tap';
import type { Redirect } from '../../app/clicks/click-writer.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import { createFiller } from '../../app/fleet/filler.ts';
import { type CopyPlace, FILLED, type History, type KeyState } from '../../app/fleet/link-copy.ts';
import { keepOwnChanges } from '../../app/fleet/own-changes.ts';
import { createSaltKeeper } from '../../app/fleet/salt-keeper.ts';
import { createSharedQuotas } from '../../app/fleet/shared-quotas.ts';
import { type ClickBatch, createShipper } from '../../app/fleet/shipper.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import type { Link } from '../../app/links/link.ts';
import type { LinkStore, Outcome } from '../../app/links/link-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';

const never = () => false;

const OF: History = { database: 1, begun: 1 };

function stateOf(id: number): KeyState {
  return { key: `k${id}`, asOf: 1, of: OF, facts: null };
}

/** Links with the ids 1 to `count`, of which the last few are followed most. */
function startFilling(count: number) {
  const written: string[][] = [];
  const forgotten: string[] = [];
  const told: unknown[] = [];
  let filledTo: number | null = null;
  let place: CopyPlace | null = { of: OF, run: 1, position: 0, newest: 0 };
  let answerOf = OF;
  let isMostClickedKnown = true;
  const clock = createFakeClock();
  const fill = createFiller({
    pacer: createIdlePacer({ ...clock, sleep: async () => undefined }),
    copy: {
      readPlace: async () => place,
      readFilledTo: async () => filledTo,
      async write(states, step) {
        written.push(states.map(({ key }) => key));
        filledTo = step?.to ?? filledTo;
      },
      async forgetUnconfirmed(run, after) {
        t.equal(run, 1);
        forgotten.push(after);
        return after === '' ? 'k2' : null;
      },
    },
    source: {
      async readMostClicked() {
        if (!isMostClickedKnown) throw new Error('late');
        return [stateOf(count), stateOf(count - 1)];
      },
      async readPortion(after) {
        const ids = [after + 1, after + 2].filter((id) => id <= count);
        const last = ids.at(-1) ?? after;
        return { of: answerOf, states: ids.map(stateOf), next: last >= count ? null : last };
      },
    },
    onUnordered: (error) => told.push(error),
  });
  return {
    fill,
    written,
    forgotten,
    told,
    filledTo: () => filledTo,
    beNew: () => {
      place = null;
    },
    answerAs: (of: History) => {
      answerOf = of;
    },
    loseMostClicked: () => {
      isMostClickedKnown = false;
    },
  };
}

t.test('a copy is filled with what is followed most, then with all', async (t) => {
  const { fill, written, forgotten, filledTo } = startFilling(5);
  await fill(never);
  t.same(written, [['k5', 'k4'], [], ['k1', 'k2'], ['k3', 'k4'], ['k5']]);
  t.same(forgotten, ['', 'k2'], 'then what nobody confirmed goes');
  t.equal(filledTo(), FILLED);
  await fill(never);
  t.equal(written.length, 5, 'once');
});

t.test('filling goes on where it was', async (t) => {
  const { fill, written, filledTo } = startFilling(5);
  await fill(() => true);
  t.equal(filledTo(), null);
  await fill(() => filledTo() === 2);
  t.equal(filledTo(), 2);
  const before = written.length;
  await fill(never);
  t.same(written.slice(before), [['k3', 'k4'], ['k5']]);
});

t.test('where nobody knows what is followed most, all are filled in their order', async (t) => {
  const { fill, written, told, filledTo, loseMostClicked } = startFilling(3);
  loseMostClicked();
  await fill(never);
  t.match(told, [{ message: 'late' }]);
  t.same(written, [[], [], ['k1', 'k2'], ['k3']]);
  t.equal(filledTo(), FILLED);
});

t.test(
  'a copy that follows nothing yet is not filled, nor from another history than it follows',
  async (t) => {
    const { fill, written, forgotten, filledTo, answerAs, beNew } = startFilling(3);
    answerAs({ ...OF, begun: 2 });
    await fill(never);
    t.equal(filledTo(), 0);
    const before = written.length;
    beNew();
    await fill(never);
    t.equal(written.length, before);
    t.same(forgotten, []);
  },
);

const batchOf = (clicks: number) =>
  ({ segment: 's', startedAtMs: 0, clicks: Array(clicks).fill({}) }) as ClickBatch;

t.test('clicks are shipped in batches, and forgotten once they are there', async (t) => {
  const log: string[] = [];
  const waiting = [3, 2, 4];
  let isFailing = true;
  const { ship, shipNow } = createShipper({
    pacer: createIdlePacer(createFakeClock()),
    outbox: {
      countWaiting: async () => waiting.reduce((sum, clicks) => sum + clicks, 0),
      bindTo: async (database) => void log.push(`bind to ${database}`),
      readBatch: async () => (waiting[0] === undefined ? null : batchOf(waiting[0])),
      countStranded: async () => 0,
      async forget({ clicks }) {
        log.push(`forget ${clicks.length}`);
        waiting.shift();
      },
    },
    onStranded: () => t.fail('all of them can be shipped'),
    inbox: {
      readDatabase: async () => 7,
      async merge({ clicks }) {
        if (isFailing) throw new Error('gone');
        log.push(`merge ${clicks.length}`);
        // More come while it ships.
        waiting.push(9);
        return true;
      },
    },
  });
  await t.rejects(ship(), { message: 'gone' });
  isFailing = false;
  await ship();
  t.same(log, [
    ...['bind to 7', 'bind to 7'],
    ...['merge 3', 'forget 3', 'merge 2', 'forget 2', 'merge 4', 'forget 4'],
  ]);
  waiting.length = 0;
  await shipNow();
  t.equal(log.length, 9);
});

t.test('what another process has shipped meanwhile is not looked for', async (t) => {
  const { ship } = createShipper({
    pacer: createIdlePacer(createFakeClock()),
    outbox: {
      countWaiting: async () => 1,
      bindTo: async () => undefined,
      readBatch: async () => null,
      forget: () => Promise.reject(new Error('forgotten')),
      countStranded: async () => 0,
    },
    inbox: { readDatabase: async () => 7, merge: () => Promise.reject(new Error('merged')) },
    onStranded: () => t.fail('nothing is left'),
  });
  await ship();
  t.pass();
});

t.test('what belongs to another database is kept and told once, until it belongs to this one', async (t) => {
  let database = 7;
  let waiting = [batchOf(2)];
  const told: number[] = [];
  const merged: number[] = [];
  const { ship } = createShipper({
    pacer: createIdlePacer(createFakeClock()),
    outbox: {
      countWaiting: async () => waiting.length,
      bindTo: async () => undefined,
      readBatch: async (asked) => (asked === 7 ? (waiting[0] ?? null) : null),
      async forget() {
        waiting = [];
      },
      countStranded: async (asked) => (asked === 7 ? 0 : waiting.length),
    },
    inbox: {
      readDatabase: async () => database,
      async merge({ clicks }, asked) {
        if (asked !== database) return false;
        merged.push(clicks.length);
        return true;
      },
    },
    onStranded: (clicks) => told.push(clicks),
  });
  await ship();
  t.same([merged, told], [[2], []]);
  waiting = [batchOf(3)];
  database = 8;
  for (let time = 0; time < 3; time++) await ship();
  t.same([merged, told, waiting.length], [[2], [1], 1]);
  waiting = [];
  await ship();
  waiting = [batchOf(3)];
  await ship();
  t.same(told, [1, 1], 'and again when there are some again');
});

function startQuotas(answer: (count: number) => Promise<number | null>) {
  const taken: number[] = [];
  const fates: string[] = [];
  const told: unknown[] = [];
  const clock = createFakeClock();
  const record = createSharedQuotas({
    clock,
    book: {
      take({ clicksMax }, count) {
        taken.push(count);
        return answer(Math.min(count, clicksMax));
      },
      readUsed: () => answer(3),
    },
    record(redirect) {
      if (redirect.quota !== null) throw new Error('It asks for a limit.');
      redirect.settle('redirect');
    },
    onFailed: (error) => told.push(error),
  });
  const ask = (name: string, clicksMax: number | null, isOnlyAsked = false) => {
    const quota = clicksMax === null ? null : { linkId: 1, clicksMax, setBySeq: 1, isOnlyAsked };
    const settle = (fate: string) => void fates.push(`${name} ${fate}`);
    record({ click: null, exclusion: null, quota, settle } as Redirect);
  };
  return { ask, taken, fates, told, clock };
}

const settled = async () => {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
};

t.test('redirects of one limit are asked for together', async (t) => {
  const { ask, taken, fates } = startQuotas(async (count) => count);
  ask('free', null);
  t.same(fates, ['free redirect']);
  for (const name of ['a', 'b', 'c', 'd']) ask(name, 2);
  await settled();
  t.same(taken, [1, 3]);
  t.same(fates.slice(1), ['a redirect', 'b redirect', 'c redirect', 'd spent']);
  ask('late', 2);
  await settled();
  t.same(taken, [1, 3, 1]);
});

t.test('who only asks uses nothing up', async (t) => {
  const { ask, taken, fates } = startQuotas(async (count) => count);
  ask('enough', 4, true);
  await settled();
  ask('spent', 3, true);
  await settled();
  t.same(fates, ['enough redirect', 'spent spent']);
  t.same(taken, []);
});

t.test('a database that takes its time refuses after a second', async (t) => {
  const { ask, fates, told, clock } = startQuotas(() => new Promise(() => undefined));
  ask('a', 2);
  await settled();
  t.same(fates, []);
  await clock.advance(1000);
  await settled();
  t.same(fates, ['a unavailable']);
  t.match(told, [{ message: /did not say within 1 s/ }]);
});

t.test('a limit of which nobody knows what is used refuses', async (t) => {
  const { ask, fates, told } = startQuotas(async () => null);
  ask('a', 2);
  await settled();
  ask('b', 2, true);
  await settled();
  t.same(fates, ['a unknown', 'b unknown']);
  t.same(told, []);
});

t.test('a limit that cannot be asked for refuses', async (t) => {
  const { ask, fates, told } = startQuotas(() => Promise.reject(new Error('gone')));
  ask('a', 2);
  await settled();
  t.same(fates, ['a unavailable']);
  t.match(told, [{ message: 'gone' }]);
});

t.test('salts of today and tomorrow are brought here, once', async (t) => {
  const clock = createFakeClock();
  const today = Math.floor(clock.nowMs() / DAY_MS);
  const kept: [number, string][] = [];
  let asked = 0;
  let file = 1;
  const keep = createSaltKeeper({
    clock,
    readPlace: () => file,
    async agree(day) {
      asked++;
      return `salt of ${day}`;
    },
    async keep(day, salt) {
      kept.push([day, salt]);
    },
  });
  await keep();
  await keep();
  t.same(kept, [
    [today, `salt of ${today}`],
    [today + 1, `salt of ${today + 1}`],
  ]);
  await clock.advance(DAY_MS);
  await keep();
  t.same(kept.slice(2), [[today + 2, `salt of ${today + 2}`]]);
  t.equal(asked, 3);
  file = 2;
  await keep();
  t.same(
    kept.slice(3).map(([day]) => day),
    [today + 1, today + 2],
    'and again in a new file',
  );
});

/** A host that makes the links `outcomes` tell of. */
function startChanging(outcomes: readonly Outcome[], committed = true) {
  const did: unknown[] = [];
  let begun = 1;
  const { apply } = keepOwnChanges({
    links: { apply: async () => [{ committed, outcomes }] } as unknown as LinkStore,
    copy: {
      async write(states) {
        did.push(states.map(({ key, asOf, of, facts }) => `${key} as of ${of.begun}/${asOf}: ${facts?.url}`));
      },
    },
    readHistory: () => ({ database: 1, begun: begun++ }),
    catchUp: async () => void did.push('caught up'),
    onCopyFailed: () => undefined,
  });
  return { apply: () => apply([]), did };
}

const LINK = { id: 1, key: 'autumn', seq: 7, url: 'https://example.com/1', released: false } as Link;

t.test('what is committed through a host is in its copy before it is told', async (t) => {
  const { apply, did } = startChanging([
    { type: 'created', link: LINK },
    { type: 'unchanged', link: { ...LINK, key: 'winter' } },
    { type: 'updated', link: { ...LINK, key: 'taken by another', released: true } },
  ]);
  t.match(await apply(), [{ committed: true }]);
  t.same(did, [['autumn as of 1/7: https://example.com/1', 'winter as of 1/7: https://example.com/1']]);
});

t.test('what was refused is not', async (t) => {
  const { apply, did } = startChanging([{ type: 'created', link: LINK }], false);
  await apply();
  t.same(did, [[]]);
});

t.test('after a purge the copy catches up', async (t) => {
  const { apply, did } = startChanging([{ type: 'purged' }]);
  await apply();
  t.same(did, [[], 'caught up']);
});
