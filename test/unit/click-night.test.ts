// What is done for clicks at night, between processes, and what the recount finds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createBookkeeper } from '../../app/clicks/bookkeeper.ts';
import { createNight, type Night, type Retention } from '../../app/clicks/night.ts';
import { createPurger } from '../../app/clicks/purger.ts';
import { createRecounter, type Recount } from '../../app/clicks/recount.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import type { Store } from '../../app/store/store.ts';
import { clickOn, openClicks } from '../support/click-tables.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';
import { openStore } from '../support/store.ts';

const DAY = 20_000;
const NOW = DAY * DAY_MS + 2 * 60 * 60 * 1000;
const never = () => false;

interface Process {
  readonly store: Store;
  readonly night: Night;
  readonly recounts: () => number;
}

async function start(
  t: Test,
  dataDir: string,
  { retention = { clickDays: 90, quarterDays: 730 }, clock = createFakeClock(NOW) } = {},
): Promise<Process> {
  const store = await openStore({ dataDir, clock });
  t.teardown(store.close);
  let recounts = 0;
  const night = createNight({
    tiers: store.tiers,
    clock,
    pacer: createIdlePacer(clock),
    holder: store.clicks.segment().name,
    retention,
    recount: async () => {
      recounts++;
    },
  });
  return { store, night, recounts: () => recounts };
}

function append({ clicks }: Store, ...days: number[]): void {
  clicks.journal.append(days.map((day) => ({ click: clickOn(1, day * DAY_MS), quota: null })));
}

function read(dataDir: string, sql: string): unknown[] {
  const db = openClicks(dataDir);
  try {
    return db.prepare(sql).pluck().all();
  } finally {
    db.close();
  }
}

function run(dataDir: string, sql: string): void {
  const db = openClicks(dataDir);
  db.exec(sql);
  db.close();
}

async function keep(
  t: Test,
  retention: Retention,
): Promise<{ clicks: unknown[]; days: unknown[]; quarters: unknown[] }> {
  const dataDir = t.testdir();
  const { store, night } = await start(t, dataDir, { retention });
  append(store, DAY - 800, DAY - 731, DAY - 730, DAY - 91, DAY - 90, DAY);
  await store.tiers.fold(100);
  append(store, DAY - 900);
  await night.run(never);
  t.same(await store.tiers.readUse([1]), new Map([[1, { clicks: 6, ofMax: 0 }]]));
  return {
    clicks: read(dataDir, `select at_ms / ${DAY_MS} - ${DAY} from clicks order by id`),
    days: read(dataDir, `select day - ${DAY} from click_days where link_id = 1`),
    quarters: read(dataDir, `select quarter / 96 - ${DAY} from click_quarters where link_id = 1`),
  };
}

t.test(
  'single clicks go after 90 days and quarters after two years, but nothing that is not counted',
  async (t) => {
    t.same(await keep(t, { clickDays: 90, quarterDays: 730 }), {
      clicks: [-90, 0, -900],
      days: [-800, -731],
      quarters: [-730, -91, -90, 0],
    });
  },
);

t.test('0 keeps them for ever', async (t) => {
  t.same(await keep(t, { clickDays: 0, quarterDays: 0 }), {
    clicks: [-800, -731, -730, -91, -90, 0, -900],
    days: [],
    quarters: [-800, -731, -730, -91, -90, 0],
  });
});

t.test('the salts of days that are over are forgotten, soon after midnight too', async (t) => {
  const dataDir = t.testdir();
  const { store, night } = await start(t, dataDir);
  store.clicks.salts.saltOf(DAY);
  for (const way of [night.forgetVisitors, () => night.run(never)]) {
    run(dataDir, `insert into salts values (${DAY - 1}, 'old')`);
    await way();
    t.same(read(dataDir, 'select day from salts'), [DAY]);
  }
});

t.test('of a salt that is forgotten nothing is left in any file', async (t) => {
  const dataDir = t.testdir();
  const { store, night } = await start(t, dataDir);
  const { salt } = store.clicks.salts.saltOf(DAY - 1);
  const isInFiles = () =>
    ['clicks.db', 'clicks.db-wal'].some((name) => readFileSync(join(dataDir, name)).includes(salt));
  t.ok(isInFiles());
  await night.forgetVisitors();
  t.notOk(isInFiles());
});

t.test('a lease that was taken while a clock was wrong holds nobody up', async (t) => {
  const { store } = await start(t, t.testdir());
  const lease = { name: 'night', forMs: 600_000 };
  t.ok(await store.tiers.takeLease({ ...lease, holder: 'one', nowMs: NOW + 200 * DAY_MS }));
  t.ok(await store.tiers.takeLease({ ...lease, holder: 'other', nowMs: NOW }));
  t.notOk(await store.tiers.takeLease({ ...lease, holder: 'third', nowMs: NOW + 1 }));
});

t.test('clicks are kept again from the start on after which a clock is right', async (t) => {
  const dataDir = t.testdir();
  const first = await start(t, dataDir);
  await first.store.close();
  run(dataDir, `insert into click_state values ('kept_from_ms', ${NOW + 200 * DAY_MS})`);
  await start(t, dataDir, { clock: createFakeClock(NOW) });
  t.same(read(dataDir, "select value from click_state where name = 'kept_from_ms'"), [NOW]);
  await start(t, dataDir, { clock: createFakeClock(NOW + 1) });
  t.same(read(dataDir, "select value from click_state where name = 'kept_from_ms'"), [NOW]);
});

t.test('one process works, each recounts, and both only once a day', async (t) => {
  const dataDir = t.testdir();
  const clock = createFakeClock(NOW);
  const one = await start(t, dataDir, { clock });
  const other = await start(t, dataDir, { clock });
  for (const { night } of [one, other, one, other]) await night.run(never);
  t.same([one.recounts(), other.recounts()], [1, 1]);
  t.same(read(dataDir, "select value from click_state where name = 'night_of_day'"), [DAY]);
  await clock.advance(DAY_MS);
  await other.night.run(never);
  t.same([one.recounts(), other.recounts()], [1, 2]);
});

t.test('what another process does is left to it, until it must have died', async (t) => {
  const dataDir = t.testdir();
  const clock = createFakeClock(NOW);
  const { store, night } = await start(t, dataDir, { clock });
  append(store, DAY - 100);
  await store.tiers.fold(10);
  await store.tiers.takeLease({ name: 'night', holder: 'another', nowMs: NOW, forMs: 600_000 });
  await night.run(never);
  t.equal(read(dataDir, 'select 1 from clicks').length, 1);
  await clock.advance(600_000);
  await night.run(never);
  t.equal(read(dataDir, 'select 1 from clicks').length, 0);
});

t.test('who loses the lease stops, and who is stopped is not done', async (t) => {
  const dataDir = t.testdir();
  let nowMs = NOW;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined };
  const { store } = await start(t, dataDir);
  append(store, ...Array.from({ length: 1200 }, () => DAY - 100));
  await store.tiers.fold(2000);
  const { takeLease, removeOldClicks } = store.tiers;
  const isTaken = { value: false };
  const tiers = {
    ...store.tiers,
    takeLease: async (lease: Parameters<typeof takeLease>[0]) => !isTaken.value && takeLease(lease),
    async removeOldClicks(beforeMs: number) {
      isTaken.value = true;
      nowMs += 60_000;
      return removeOldClicks(beforeMs);
    },
  };
  const retention = { clickDays: 1, quarterDays: 0 };
  const night = createNight({
    tiers,
    clock,
    pacer: createIdlePacer(clock),
    holder: 'me',
    retention,
    recount: async () => undefined,
  });
  await night.run(never);
  t.equal(read(dataDir, 'select 1 from clicks').length, 700);
  t.equal(await store.tiers.readNight(), null);
});

t.test('what is to be purged once more is, also when a purge is under way just then', async (t) => {
  const dataDir = t.testdir();
  const clock = createFakeClock(NOW);
  const { store } = await start(t, dataDir, { clock });
  const purgedLinks = {
    async listPurged(afterSeq: number) {
      // The night comes between.
      if (afterSeq === 1) await store.tiers.purgeAgain();
      return afterSeq < 2 ? { linkIds: [1], seq: afterSeq + 1 } : { linkIds: [], seq: afterSeq };
    },
  };
  const purged: number[] = [];
  const purge = createPurger({
    purgedLinks,
    tiers: {
      ...store.tiers,
      async purgeLink(linkId) {
        purged.push(await store.tiers.readPurgedTo());
        return store.tiers.purgeLink(linkId);
      },
    },
    folder: { foldAll: async () => undefined },
    pacer: createIdlePacer(clock),
    clock,
  });
  let turns = 0;
  await purge(() => turns++ > 20);
  t.same(purged.slice(0, 3), [0, 0, 0], 'from the beginning');
});

t.test('a process that is gone is not looked at any more, until it is seen again', async (t) => {
  const dataDir = t.testdir();
  const clock = createFakeClock(NOW);
  const { store, night } = await start(t, dataDir, { clock });
  const { name } = store.clicks.segment();
  append(store, DAY);
  const isOver = () => read(dataDir, 'select is_over from segments');
  await clock.advance(3 * DAY_MS);
  await night.run(never);
  t.same(isOver(), [0], 'not while clicks wait');
  await store.tiers.fold(10);
  await clock.advance(DAY_MS);
  await night.run(never);
  t.same(isOver(), [1]);
  append(store, DAY + 4);
  t.equal((await store.tiers.fold(10)).clicks, 0);
  await store.tiers.noteSeen(name, clock.nowMs());
  t.equal((await store.tiers.fold(10)).clicks, 1);
  await clock.advance(DAY_MS);
  await night.run(never);
  t.same(isOver(), [0]);
});

t.test('the recount finds what is missing, wherever', async (t) => {
  const dataDir = t.testdir();
  const { store } = await start(t, dataDir);
  const { store: other } = await start(t, dataDir);
  append(store, DAY, DAY, DAY, DAY);
  append(other, DAY, DAY);
  await store.tiers.fold(3);
  await other.tiers.fold(1);
  await store.tiers.fold(10);
  const { name: segment } = store.clicks.segment();
  const recount = createRecounter({
    tiers: store.tiers,
    readOwn: () => ({ segment, sequence: store.clicks.segment().sequence, counted: 4 }),
  });
  const right: Recount = { lost: 0, missing: 0, totals: 0, tiers: 0, drift: 0 };
  t.same(await recount(never), right);
  run(dataDir, `delete from clicks where id = ${2 ** 32 + 2}`);
  t.same(await recount(never), { ...right, lost: 1, drift: 1 });
  run(dataDir, `delete from clicks where id > ${2 * 2 ** 32}`);
  t.same(await recount(never), { ...right, lost: 1, missing: 2, drift: 3 });
  run(dataDir, 'update click_figures set clicks = clicks + 2 where link_id = 0 and kind = 0');
  t.same(await recount(never), { lost: 1, missing: 2, totals: -2, tiers: 2, drift: 7 });
  t.equal(await recount(() => true), null);
});

t.test('a recount while clicks are removed begins anew, and gives up after some tries', async (t) => {
  const { store } = await start(t, t.testdir());
  append(store, DAY, DAY);
  let removals = 1;
  let removed = 0;
  let lists = 0;
  const recount = createRecounter({
    tiers: {
      ...store.tiers,
      async listSegments() {
        lists++;
        if (lists % 2 === 0 && removals-- > 0) removed++;
        const segments = await store.tiers.listSegments();
        return segments.map((segment) => ({ ...segment, removed }));
      },
    },
    readOwn: () => ({ segment: store.clicks.segment().name, sequence: 2, counted: 3 }),
  });
  t.equal((await recount(never))?.lost, 0);
  t.equal(lists, 4);
  removals = 100;
  t.equal(await recount(never), null);
  t.equal(lists, 10);
});

t.test('a recount that does not come to its end tells nothing', async (t) => {
  const { store } = await start(t, t.testdir());
  const bookkeeper = createBookkeeper({
    tiers: store.tiers,
    clock: createFakeClock(NOW),
    readSegment: store.clicks.segment,
    readLedger: () => ({ counted: { human: 9, bot: 0, preview: 0, prefetch: 0, repeat: 0 } }),
    purge: async () => undefined,
    onRecounted: () => t.fail('told'),
  });
  await bookkeeper.recount(() => true);
  t.equal(bookkeeper.readDrift(), 0);
});
