// What is counted of clicks, on real files: the fold, retention, purge and what the recount asks.
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { CLICK_REASONS, type Click, type ClickReason } from '../../app/clicks/click.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { nextTurn } from '../../app/kernel/portions.ts';
import { foldClicks } from '../../app/store/click-fold.ts';
import { rollUpQuarters } from '../../app/store/click-retention.ts';
import { REASON_NUMBERS } from '../../app/store/click-rows.ts';
import type { Dialect } from '../../app/store/dialect.ts';
import { CLICK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { openDatabase } from '../../app/store/sqlite/open-database.ts';
import type { Store } from '../../app/store/store.ts';
import { type AgentWords, clickOn, openClicks, readTiers, recount } from '../support/click-tables.ts';
import { propertyRuns } from '../support/property.ts';
import { openStore } from '../support/store.ts';

const DAY = 20_000;
const T0 = DAY * DAY_MS;
const MINUTE_MS = 60_000;

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1';
const AGENTS: AgentWords = {
  [FIREFOX]: { browser: 'Firefox', os: 'Linux', device: 'desktop' },
  [IPHONE]: { browser: 'Safari', os: 'iOS', device: 'mobile' },
  'curl/8.7.1': {},
};

async function open(t: Test, dataDir = t.testdir()): Promise<Store & { dataDir: string }> {
  const store = await openStore({ dataDir });
  t.teardown(store.close);
  return { ...store, dataDir };
}

function append({ clicks }: Pick<Store, 'clicks'>, ...list: readonly Click[]): void {
  const verdicts = clicks.journal.append(list.map((click) => ({ click, quota: null })));
  if (verdicts !== null) throw new Error(`The clicks were not stored: ${verdicts}`);
}

/** Folds all there is. */
async function foldAll({ tiers }: Pick<Store, 'tiers'>, sliceClicks = 1000): Promise<number> {
  let all = 0;
  for (let clicks = -1; clicks !== 0; all += clicks) clicks = (await tiers.fold(sliceClicks)).clicks;
  return all;
}

/** The file as a process of its own has it open. */
async function openAlone(dataDir: string) {
  const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });
  const path = join(dataDir, 'clicks.db');
  const options = { path, schema: CLICK_SCHEMA, migrate: 'auto', synchronous: 'NORMAL' } as const;
  return { db: await openDatabase({ ...options, dialect }), dialect };
}

/** Folds as a process does that is killed after some stages of a batch. */
async function foldAndDie(dataDir: string, { stages, sliceClicks }: { stages: number; sliceClicks: number }) {
  const { db, dialect } = await openAlone(dataDir);
  let left = stages;
  const transaction: Dialect['transaction'] = (...args) => {
    if (left-- === 0) throw KILLED;
    return dialect.transaction(...args);
  };
  try {
    const deps = { dialect: { ...dialect, transaction }, clock: systemClock, pause: nextTurn };
    await foldClicks(db, deps, sliceClicks);
  } catch (error) {
    if (error !== KILLED) throw error;
  } finally {
    db.close();
  }
}

const KILLED = new Error('killed');

async function repeatStep(step: () => Promise<boolean>): Promise<number> {
  let steps = 0;
  while (await step()) steps++;
  return steps;
}

t.test('a click is counted by link, quarter of an hour, day, detail and visitor', async (t) => {
  const store = await open(t);
  const told = { visitor: 7, agent: FIREFOX, referrer: 'a.example', language: 'de', country: 'DE' };
  append(store, clickOn(3, T0 + 16 * MINUTE_MS, told));
  t.equal((await store.tiers.fold(10)).clicks, 1);
  t.same(readTiers(store.dataDir), {
    totals: { '3 human': 1, '0 human': 1 },
    days: { '3 20000 human': 1, '0 20000 human': 1 },
    details: Object.fromEntries(
      [3, 0].flatMap((link) =>
        [
          'referrer a.example',
          'language de',
          'country DE',
          'browser Firefox',
          'os Linux',
          'device desktop',
        ].map((detail) => [`${link} 20000 human ${detail}`, 1]),
      ),
    ),
    visitors: { '3 20000': 1, '0 20000': 1 },
  });
  const db = openClicks(store.dataDir);
  t.same(db.prepare('select link_id, quarter from click_quarters').raw().all(), [
    [0, DAY * 96 + 1],
    [3, DAY * 96 + 1],
  ]);
  t.same(db.prepare('select * from click_index').raw().all(), [[3, T0 + 16 * MINUTE_MS, 2 ** 32 + 1]]);
  db.close();
});

t.test('nothing is counted twice, and what comes later is added', async (t) => {
  const store = await open(t);
  t.equal((await store.tiers.fold(10)).clicks, 0);
  append(store, clickOn(1, T0), clickOn(1, T0), clickOn(2, T0));
  const folded = [];
  for (let time = 0; time < 3; time++) folded.push((await store.tiers.fold(2)).clicks);
  t.same(folded, [3, 0, 0]);
  append(store, clickOn(1, T0));
  t.equal(await store.tiers.findOldestWaitingMs(), T0);
  t.equal(await foldAll(store), 1);
  t.equal(await store.tiers.findOldestWaitingMs(), null);
  t.same(readTiers(store.dataDir).totals, { '0 human': 4, '1 human': 3, '2 human': 1 });
  t.same(
    await store.tiers.readUse([1, 2, 3]),
    new Map([
      [1, { clicks: 3, ofMax: 0 }],
      [2, { clicks: 1, ofMax: 0 }],
    ]),
  );
});

t.test('a visitor who comes again is one', async (t) => {
  const store = await open(t);
  for (const visitor of [7 * 2 ** 40, 7 * 2 ** 40, 8 * 2 ** 40]) {
    append(store, clickOn(1, T0, { visitor }));
    await foldAll(store);
  }
  t.same(readTiers(store.dataDir).visitors, { '0 20000': 2, '1 20000': 2 });
});

t.test('bots have no visitors, and a click without detail is counted as it is', async (t) => {
  const store = await open(t);
  append(store, clickOn(1, T0, { reason: 'bot', visitor: 1, agent: '' }), clickOn(1, T0));
  await foldAll(store);
  t.same(readTiers(store.dataDir), {
    totals: { '0 human': 1, '0 bot': 1, '1 human': 1, '1 bot': 1 },
    days: { '0 20000 human': 1, '0 20000 bot': 1, '1 20000 human': 1, '1 20000 bot': 1 },
    details: {},
    visitors: {},
  });
});

t.test('a portion with more new agents than are described at a time is counted all the same', async (t) => {
  const store = await open(t);
  const clicks = Array.from({ length: 250 }, (_, index) => clickOn(1, T0, { agent: `${FIREFOX} ${index}` }));
  append(store, ...clicks);
  t.equal((await store.tiers.fold(1000)).clicks, 250);
  t.equal(readTiers(store.dataDir).details['1 20000 human browser Firefox'], 250);
});

t.test('two processes that fold at once count each click once', async (t) => {
  const one = await open(t);
  const other = await open(t, one.dataDir);
  const clicks = Array.from({ length: 300 }, (_, index) => clickOn(1 + (index % 7), T0 + index));
  for (let index = 0; index < 300; index += 2) {
    append(one, clicks[index] as Click);
    append(other, clicks[index + 1] as Click);
  }
  const counted = await Promise.all([foldAll(one, 13), foldAll(other, 11)]);
  t.equal(counted[0] + counted[1], 300);
  t.same(readTiers(one.dataDir), recount(clicks, AGENTS));
});

t.test('a fold that is killed after any stage goes on where it was', async (t) => {
  const folder = t.testdir();
  for (let stages = 0; stages < 6; stages++) {
    const store = await open(t, join(folder, String(stages)));
    const told = { visitor: 7, agent: FIREFOX, referrer: 'a.example', language: 'de', country: 'DE' };
    const clicks = [clickOn(1, T0, told), clickOn(1, T0, told), clickOn(2, T0, told)];
    append(store, ...clicks);
    await foldAndDie(store.dataDir, { stages, sliceClicks: 2 });
    t.equal(await store.tiers.findOldestWaitingMs(), T0);
    t.same(await store.tiers.compareTiers(), { totals: 0, tiers: 0 });
    const [segment] = await store.tiers.listSegments();
    t.equal(segment?.foldedTo, segment?.folded);
    await foldAll(store);
    t.same(readTiers(store.dataDir), recount(clicks, AGENTS), `after ${stages} transactions`);
  }
});

t.test('a batch whose clicks were purged before it was counted to its end is none', async (t) => {
  const store = await open(t);
  append(store, clickOn(2, T0), clickOn(2, T0));
  // All links together in three stages, then the links with even numbers.
  await foldAndDie(store.dataDir, { stages: 4, sliceClicks: 1 });
  await repeatStep(() => store.tiers.purgeLink(2));
  append(store, clickOn(1, T0));
  t.equal((await store.tiers.fold(1)).clicks, 1);
  t.same(readTiers(store.dataDir).totals, { '0 human': 1, '1 human': 1 });
  t.same(await store.tiers.compareTiers(), { totals: 0, tiers: 0 });
});

t.test('a click that is reclassified is counted where it belongs now', async (t) => {
  const store = await open(t);
  const told = { visitor: 7, agent: 'curl/8.7.1', referrer: 'a.example', language: 'de', country: 'DE' };
  const old = [
    clickOn(1, T0, { ...told, reason: 'bot' }),
    clickOn(1, T0 + DAY_MS, { ...told, reason: 'bot' }),
    clickOn(2, T0, { ...told, agent: FIREFOX }),
    clickOn(2, T0, { reason: 'bot' }),
  ];
  append(store, ...old);
  await foldAll(store);
  await repeatStep(() => store.tiers.rollUpQuarters(DAY + 1));
  append(store, clickOn(3, T0, { ...told, reason: 'bot' }));
  const before = readTiers(store.dataDir);
  t.equal(await reclassifyAll(store, { 'curl/8.7.1': 'human' }, true), 2, 'what is not counted yet waits');
  t.same(readTiers(store.dataDir), before, 'a dry run changes nothing');
  t.equal(await reclassifyAll(store, { 'curl/8.7.1': 'human' }), 2);
  const now = old.map((click) =>
    click.agent === 'curl/8.7.1' ? { ...click, reason: 'human' as const } : click,
  );
  t.same(readTiers(store.dataDir), recount(now, AGENTS));
  t.equal(await reclassifyAll(store, { 'curl/8.7.1': 'human' }), 0, 'a second time nothing is left');
  t.same(await store.tiers.compareTiers(), { totals: 0, tiers: 0 });
});

t.test(
  'between two portions of a roll-up, a reclassified click is taken from where it is counted',
  async (t) => {
    const store = await open(t);
    append(store, clickOn(1, T0, { agent: 'curl/8.7.1' }), clickOn(1, T0, { agent: FIREFOX }));
    await foldAll(store);
    const { db } = await openAlone(store.dataDir);
    t.teardown(db.close);
    // All links together come first.
    t.equal(await rollUpQuarters(db.writer, { beforeDay: DAY + 1, rowsMax: 1 }), 1);
    await reclassifyAll(store, { 'curl/8.7.1': 'bot' });
    const tables = openClicks(store.dataDir);
    t.teardown(() => tables.close());
    const figures = (view: string) =>
      tables.prepare(`select link_id, reason, clicks from ${view} order by link_id, reason`).raw().all();
    const { human, bot } = REASON_NUMBERS;
    t.same(figures('click_quarters'), [
      [1, human, 1],
      [1, bot, 1],
    ]);
    t.same(figures('click_days'), [
      [0, human, 1],
      [0, bot, 1],
    ]);
  },
);

t.test('no more than 50 clicks are moved at a time', async (t) => {
  const store = await open(t);
  append(store, ...Array.from({ length: 60 }, () => clickOn(1, T0, { agent: 'curl/8.7.1' })));
  await foldAll(store);
  const [segment] = await store.tiers.listSegments();
  const range = { segment: segment?.id ?? 0, isDryRun: false, judge: () => 'bot' as const };
  const first = await store.tiers.reclassify({ ...range, after: 0 });
  t.same([first.read, first.last, first.changes.length], [50, 50, 50]);
  const second = await store.tiers.reclassify({ ...range, after: 50 });
  t.same([second.read, second.last, second.changes.length], [10, 60, 10]);
  t.same(readTiers(store.dataDir).totals, { '1 bot': 60, '0 bot': 60 });
});

t.test('whatever is done to old clicks and in whatever order, no total and no day changes', async (t) => {
  const linkId = fc.integer({ min: 1, max: 4 });
  const click = fc.record({
    linkId,
    afterDays: fc.integer({ min: 0, max: 20 }),
    minute: fc.integer({ min: 0, max: 24 * 60 - 1 }),
    reason: fc.constantFrom(...CLICK_REASONS),
    visitor: fc.option(fc.integer({ min: 0, max: 9 }).map((number) => number * 2 ** 40)),
    agent: fc.option(fc.constantFrom(...Object.keys(AGENTS))),
    referrer: fc.option(fc.constantFrom('a.example', 'b.example')),
    language: fc.option(fc.constantFrom('de', 'en')),
    country: fc.option(fc.constantFrom('DE', 'AT')),
  });
  const day = fc.integer({ min: DAY, max: DAY + 22 });
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('click' as const),
        clicks: fc.array(click, { maxLength: 40 }),
        process: fc.nat({ max: 1 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('fold' as const),
        slice: fc.integer({ min: 1, max: 30 }),
        process: fc.nat({ max: 1 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('killed fold' as const),
        stages: fc.integer({ min: 0, max: 9 }),
        sliceClicks: fc.integer({ min: 1, max: 10 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('retain' as const), day }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('roll up' as const), day, whole: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('purge' as const),
        linkId,
        calls: fc.integer({ min: 1, max: 9 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('reclassify' as const),
        reasons: fc.dictionary(fc.constantFrom(...Object.keys(AGENTS)), fc.constantFrom(...CLICK_REASONS)),
      }),
    },
  );
  const folder = t.testdir();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const dataDir = join(folder, String(run++));
      const processes = [await openStore({ dataDir }), await openStore({ dataDir })] as const;
      const [store] = processes;
      let clicks: Click[] = [];
      for (const given of steps) {
        switch (given.type) {
          case 'click': {
            const made = given.clicks.map(({ afterDays, minute, ...rest }) => ({
              ...rest,
              atMs: T0 + afterDays * DAY_MS + minute * MINUTE_MS,
            }));
            clicks.push(...made);
            append(processes[given.process as 0 | 1], ...made);
            break;
          }
          case 'fold':
            await processes[given.process as 0 | 1].tiers.fold(given.slice);
            break;
          case 'killed fold':
            await foldAndDie(dataDir, given);
            break;
          case 'retain':
            await repeatStep(() => store.tiers.removeOldClicks(given.day * DAY_MS));
            break;
          case 'roll up':
            if (given.whole) await repeatStep(() => store.tiers.rollUpQuarters(given.day));
            else await store.tiers.rollUpQuarters(given.day);
            break;
          case 'purge':
            await foldAll(store);
            // Cut off half-way, and begun again.
            for (let call = 0; call < given.calls; call++) await store.tiers.purgeLink(given.linkId);
            await repeatStep(() => store.tiers.purgeLink(given.linkId));
            clicks = clicks.filter((one) => one.linkId !== given.linkId);
            break;
          case 'reclassify':
            clicks = await reclassifyBoth(store, dataDir, clicks, given.reasons);
        }
      }
      const keepsVisitors = steps.some(({ type }) => type === 'reclassify');
      await checkBooks(t, { store, dataDir, clicks, keepsVisitors });
      for (const { close } of processes) await close();
    }),
    propertyRuns(t, { runs: 25, proveRuns: 1500 }),
  );
});

interface Books {
  readonly store: Store;
  readonly dataDir: string;
  readonly clicks: readonly Click[];
  /** Visitors of clicks that are no person's any more stay. */
  readonly keepsVisitors: boolean;
}

async function checkBooks(t: Test, { store, dataDir, clicks, keepsVisitors }: Books): Promise<void> {
  await foldAll(store);
  const expected = recount(clicks, AGENTS);
  const found = readTiers(dataDir);
  t.same(found.totals, expected.totals);
  t.same(found.days, expected.days);
  t.same(found.details, expected.details);
  if (keepsVisitors) t.ok(hasAtLeast(found.visitors, expected.visitors));
  else t.same(withoutAll(found.visitors), withoutAll(expected.visitors));
  t.same(await store.tiers.compareTiers(), { totals: 0, tiers: 0 });
  for (const { id, foldedTo, folded, removed } of await store.tiers.listSegments()) {
    const { rows } = await store.tiers.countRows({ segment: id, after: 0, upTo: foldedTo });
    t.equal(rows + removed, folded);
  }
}

/** From a sketch nothing can be taken: that of all links keeps the visitors of purged ones. */
function withoutAll(visitors: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(visitors).filter(([key]) => !key.startsWith('0 ')));
}

function hasAtLeast(
  found: Readonly<Record<string, number>>,
  wanted: Readonly<Record<string, number>>,
): boolean {
  return Object.entries(wanted).every(([key, visitors]) => (found[key] ?? 0) >= visitors);
}

type Reasons = Readonly<Record<string, ClickReason>>;

async function reclassifyAll({ tiers }: Store, reasons: Reasons, isDryRun = false): Promise<number> {
  let changed = 0;
  for (const { id: segment } of await tiers.listSegments()) {
    for (let after: number | null = 0; after !== null; ) {
      const judge = (agent: string, reason: ClickReason) => reasons[agent] ?? reason;
      const portion = await tiers.reclassify({ segment, after, isDryRun, judge });
      changed += portion.changes.length;
      after = portion.last;
    }
  }
  return changed;
}

/** How many clicks of a kind still have their rows. */
function readStored(dataDir: string): Map<string, number> {
  const db = openClicks(dataDir);
  const rows = db
    .prepare<[], unknown[]>(
      `select link_id, at_ms, reason, visitor, agents.text, referrers.text, languages.text, countries.text from clicks
         left join words as agents on agents.id = agent left join words as referrers on referrers.id = referrer
         left join words as languages on languages.id = language left join words as countries on countries.id = country`,
    )
    .raw()
    .all();
  db.close();
  const counts = new Map<string, number>();
  for (const row of rows) {
    const name = JSON.stringify(row);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

function nameOf({ linkId, atMs, reason, visitor, agent, referrer, language, country }: Click): string {
  return JSON.stringify([linkId, atMs, REASON_NUMBERS[reason], visitor, agent, referrer, language, country]);
}

/** Those that have their rows, as many as there are; clicks of one name are worth the same. */
async function reclassifyBoth(
  store: Store,
  dataDir: string,
  clicks: Click[],
  reasons: Reasons,
): Promise<Click[]> {
  await foldAll(store);
  const stored = readStored(dataDir);
  await reclassifyAll(store, reasons);
  return clicks.map((click) => {
    const name = nameOf(click);
    const left = stored.get(name) ?? 0;
    if (left === 0) return click;
    stored.set(name, left - 1);
    return { ...click, reason: reasons[click.agent ?? ''] ?? click.reason };
  });
}
