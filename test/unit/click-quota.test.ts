// Quotas in clicks.db: what a turn of redirects takes from them, and what is said when it may not.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Click } from '../../app/clicks/click.ts';
import type { ClickJournal, JournalEntry, Quota, Verdict } from '../../app/clicks/click-journal.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { CLICK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { deleteQuota } from '../../app/store/quotas.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { openDatabase } from '../../app/store/sqlite/open-database.ts';
import { applyForLink, createAs } from '../contract/store.ts';
import { propertyRuns } from '../support/property.ts';
import { makeFolder } from '../support/service.ts';
import { openStore as openWholeStore } from '../support/store.ts';

async function openStore(t: Test, dataDir: string) {
  const store = await openWholeStore({ dataDir });
  t.teardown(() => store.close());
  return store;
}

function clickOn(linkId: number): Click {
  const detail = { visitor: null, agent: null, referrer: null, language: null, country: null };
  return { linkId, atMs: 0, reason: 'human', ...detail };
}

function quotaOf(linkId: number, clicksMax: number, more: Partial<Quota> = {}): Quota {
  return { linkId, clicksMax, setBySeq: 1, isOnlyAsked: false, ...more };
}

/** A GET that is a click. */
function follow(quota: Quota): JournalEntry {
  return { click: clickOn(quota.linkId), quota };
}

function head(quota: Quota): JournalEntry {
  return { click: null, quota: { ...quota, isOnlyAsked: true } };
}

/** The verdict on each, as if nothing else wrote. */
function append(journal: ClickJournal, entries: readonly JournalEntry[]): readonly Verdict[] {
  const verdicts = journal.append(entries);
  if (verdicts === 'busy') throw new Error('Nobody else writes.');
  return verdicts ?? entries.map(() => 'stored');
}

function readUsed(dataDir: string): Record<number, number> {
  const db = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  const rows = db.prepare<[], [number, number]>('select link_id, used from quotas').raw().all();
  db.close();
  return Object.fromEntries(rows);
}

function countClicks(dataDir: string): unknown {
  const db = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  const count = db.prepare('select count(*) from clicks').pluck().get();
  db.close();
  return count;
}

t.test('a quota is used up by the redirects of one turn or of many, and no further', async (t) => {
  const dataDir = t.testdir();
  const { journal } = (await openStore(t, dataDir)).clicks;
  const three = quotaOf(1, 3);
  t.equal(journal.append([follow(three)]), null, 'all are stored');
  t.same(append(journal, Array(4).fill(follow(three))), ['stored', 'stored', 'spent', 'spent']);
  t.same(append(journal, [follow(quotaOf(2, 1)), follow(three), follow(quotaOf(2, 1))]), [
    'stored',
    'spent',
    'spent',
  ]);
  t.same(readUsed(dataDir), { 1: 3, 2: 1 });
  t.equal(countClicks(dataDir), 4, 'what was refused is no click');
});

t.test('a redirect without a click uses one up too', async (t) => {
  const { journal } = (await openStore(t, t.testdir())).clicks;
  const own = { click: null, quota: quotaOf(1, 2) };
  t.same(append(journal, [own, own, own]), ['stored', 'stored', 'spent']);
});

t.test('whoever only asks is told the same and uses nothing up', async (t) => {
  const dataDir = t.testdir();
  const { journal } = (await openStore(t, dataDir)).clicks;
  const one = quotaOf(1, 1);
  t.same(append(journal, [head(one), head(one)]), ['stored', 'stored']);
  t.same(readUsed(dataDir), {}, 'not even a row');
  t.same(append(journal, [head(one), follow(one), head(one), follow(one)]), [
    'stored',
    'stored',
    'spent',
    'spent',
  ]);
  t.same(append(journal, [head(quotaOf(1, 2))]), ['stored'], 'a greater limit leaves some');
  t.same(append(journal, [head(quotaOf(2, 1, { setBySeq: 0 }))]), ['unknown']);
  t.same(readUsed(dataDir), { 1: 1 });
});

t.test('another limit keeps what is used', async (t) => {
  const { journal } = (await openStore(t, t.testdir())).clicks;
  append(journal, Array(5).fill(follow(quotaOf(1, 5))));
  const raised = quotaOf(1, 7, { setBySeq: 2 });
  t.same(append(journal, Array(3).fill(follow(raised))), ['stored', 'stored', 'spent']);
  t.same(append(journal, [follow(quotaOf(1, 6, { setBySeq: 3 }))]), ['spent']);
});

t.test('a turn that fails takes nothing', async (t) => {
  const dataDir = t.testdir();
  const { journal } = (await openStore(t, dataDir)).clicks;
  append(journal, [follow(quotaOf(1, 5))]);
  const broken = { click: { ...clickOn(3), linkId: null as unknown as number }, quota: null };
  t.throws(() => journal.append([follow(quotaOf(1, 5)), follow(quotaOf(2, 5)), broken]), {
    code: /CONSTRAINT/,
  });
  t.same(readUsed(dataDir), { 1: 1 });
  t.equal(countClicks(dataDir), 1);
});

t.test('after clicks.db is lost a limit set before is unknown, and one set later begins anew', async (t) => {
  const dataDir = t.testdir();
  const before = await openStore(t, dataDir);
  const link = await applyForLink(before.links, createAs('autumn', { maxClicks: 5 }));
  const early = quotaOf(link.id, 5, { setBySeq: link.maxClicksSeq });
  t.same(append(before.clicks.journal, [follow(early)]), ['stored']);
  await before.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `clicks.db${suffix}`), { force: true });

  const { links, clicks } = await openStore(t, dataDir);
  t.same(append(clicks.journal, [follow(early), head(early)]), ['unknown', 'unknown']);
  const same = await applyForLink(links, { type: 'update', ref: { id: link.id }, changes: { maxClicks: 5 } });
  const anew = quotaOf(link.id, 5, { setBySeq: same.maxClicksSeq });
  t.same(append(clicks.journal, Array(6).fill(follow(anew))), [...Array(5).fill('stored'), 'spent']);
  const later = await applyForLink(links, createAs('later', { maxClicks: 1 }));
  t.same(append(clicks.journal, [follow(quotaOf(later.id, 1, { setBySeq: later.maxClicksSeq }))]), [
    'stored',
  ]);
});

t.test('a quota that is deleted is gone, and only that one', async (t) => {
  const dataDir = t.testdir();
  const { journal } = (await openStore(t, dataDir)).clicks;
  append(journal, [follow(quotaOf(1, 5)), follow(quotaOf(2, 5))]);
  const db = await openDatabase({
    path: join(dataDir, 'clicks.db'),
    schema: CLICK_SCHEMA,
    migrate: 'check',
    dialect: createSqliteDialect({ clock: systemClock, random: Math.random }),
    synchronous: 'NORMAL',
  });
  t.teardown(() => db.close());
  for (let repetition = 0; repetition < 2; repetition++) {
    await deleteQuota(db.writer, 1);
    t.same(readUsed(dataDir), { 2: 1 });
  }
});

const ASKED = fc.record({
  link: fc.integer({ min: 1, max: 3 }),
  clicksMax: fc.integer({ min: 1, max: 6 }),
  isOnlyAsked: fc.boolean(),
  isKnown: fc.boolean(),
  hasClick: fc.boolean(),
});
type Asked = typeof ASKED extends fc.Arbitrary<infer T> ? T : never;

/** Plain words of what a quota is: used by whoever follows, never beyond what it is at that moment. */
function judge(used: Map<number, number>, { link, clicksMax, isOnlyAsked, isKnown }: Asked): Verdict {
  const count = used.get(link);
  if (count === undefined && !isKnown) return 'unknown';
  if ((count ?? 0) >= clicksMax) return 'spent';
  if (!isOnlyAsked) used.set(link, (count ?? 0) + 1);
  return 'stored';
}

t.test('two processes that take turns agree with the words', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.boolean(), fc.array(ASKED, { maxLength: 8 })), { maxLength: 20 }),
      async (turns) => {
        const folder = makeFolder(t);
        const [one, other] = [
          await openWholeStore({ dataDir: folder }),
          await openWholeStore({ dataDir: folder }),
        ];
        const used = new Map<number, number>();
        for (const [isOne, asked] of turns) {
          const { journal } = (isOne ? one : other).clicks;
          const entries = asked.map(({ link, clicksMax, isOnlyAsked, isKnown, hasClick }) => ({
            click: hasClick ? clickOn(link) : null,
            quota: quotaOf(link, clicksMax, { setBySeq: isKnown ? 1 : 0, isOnlyAsked }),
          }));
          const expected = asked.map((request) => judge(used, request));
          const verdicts = append(journal, entries);
          if (String(verdicts) !== String(expected)) throw new Error(`${verdicts} and not ${expected}`);
        }
        const found = readUsed(folder);
        await Promise.all([one.close(), other.close()]);
        for (const [link, count] of used)
          if (found[link] !== count) throw new Error(`${link}: ${found[link]}`);
      },
    ),
    propertyRuns(t, { runs: 20, proveRuns: 500 }),
  );
  t.pass();
});
