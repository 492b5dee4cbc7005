// Clicks of a host on their way into a shared database, on a real clicks.db.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../app/kernel/clock.ts';
import { createClickOutbox } from '../../app/store/sqlite/click-outbox.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { clickOn } from '../support/click-tables.ts';
import { openClicks, queryClicks } from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const DATABASE = 7;

async function open(t: Test, dataDir: string) {
  const clicks = await openClicks(t, { dataDir, clock: createFakeClock() });
  const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });
  const append = (count: number) =>
    clicks.journal.append(
      Array.from({ length: count }, () => ({
        click: clickOn(1, 5, { agent: 'curl', country: 'DE' }),
        quota: null,
      })),
    );
  const outbox = createClickOutbox({
    open: clicks.database,
    dialect,
    segment: clicks.segment,
    beOf: clicks.beOf,
  });
  await outbox.bindTo(DATABASE);
  return { clicks, append, outbox };
}

const countRows = (dataDir: string) => queryClicks(dataDir, 'select 1 from clicks').length;

t.test('clicks leave in batches, in their order, and are forgotten once they are safe', async (t) => {
  const dataDir = t.testdir();
  const { outbox, append, clicks } = await open(t, dataDir);
  t.equal(await outbox.readBatch(DATABASE), null);
  append(700);
  t.equal(await outbox.countWaiting(), 700);
  const first = await outbox.readBatch(DATABASE);
  t.same(await outbox.readBatch(DATABASE), first, 'the same until they are forgotten');
  t.match(first, { segment: clicks.segment().name, clicks: { length: 500 } });
  t.match(first?.clicks[0], { ...clickOn(1, 5, { agent: 'curl', country: 'DE' }), sequence: 1 });
  await outbox.forget(first as NonNullable<typeof first>);
  t.equal(countRows(dataDir), 200);
  const second = await outbox.readBatch(DATABASE);
  t.same([second?.clicks.length, second?.clicks[0]?.sequence], [200, 501]);
  await outbox.forget(second as NonNullable<typeof second>);
  await outbox.forget(first as NonNullable<typeof first>);
  t.equal(await outbox.readBatch(DATABASE), null, 'a batch that is late changes nothing');
  append(1);
  t.match(await outbox.readBatch(DATABASE), { clicks: [{ sequence: 701 }] });
});

t.test('what a process left that is gone leaves too', async (t) => {
  const dataDir = t.testdir();
  const gone = await open(t, dataDir);
  gone.append(3);
  gone.clicks.close();
  const { outbox, append } = await open(t, dataDir);
  append(2);
  const segments: (string | undefined)[] = [];
  for (
    let batch = await outbox.readBatch(DATABASE);
    batch !== null;
    batch = await outbox.readBatch(DATABASE)
  ) {
    segments.push(`${batch.segment} ${batch.clicks.length}`);
    await outbox.forget(batch);
  }
  t.equal(segments.length, 2);
  t.equal(segments[0], `${gone.clicks.segment().name} 3`);
  t.equal(countRows(dataDir), 0);
});

t.test('what belongs to another database stays, and what comes later leaves', async (t) => {
  const dataDir = t.testdir();
  const before = await open(t, dataDir);
  before.append(3);
  before.clicks.close();
  const { outbox, append, clicks } = await open(t, dataDir);
  append(2);
  t.equal(await outbox.countStranded(DATABASE), 0);
  t.equal(await outbox.countStranded(8), 5);
  t.equal(await outbox.readBatch(8), null);
  await outbox.bindTo(8);
  t.equal(await outbox.readBatch(8), null, 'what is bound stays so');
  t.match(await outbox.readBatch(DATABASE), { clicks: { length: 3 } });
  t.not((await outbox.readBatch(DATABASE))?.segment, clicks.segment().name);
});

t.test('a process binds itself and those before it, and none that came after it', async (t) => {
  const dataDir = t.testdir();
  const before = await open(t, dataDir);
  const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });
  const later = await openClicks(t, { dataDir, clock: createFakeClock() });
  later.journal.append([{ click: clickOn(1, 5), quota: null }]);
  await before.outbox.bindTo(DATABASE);
  t.equal(await before.outbox.readBatch(DATABASE), null);
  const outbox = createClickOutbox({ ...later, open: later.database, dialect });
  await outbox.bindTo(8);
  t.match(await outbox.readBatch(8), { segment: later.segment().name, clicks: { length: 1 } });
});

t.test('where the database becomes another one a process begins a segment for it', async (t) => {
  const { clicks, append, outbox } = await open(t, t.testdir());
  append(2);
  const { name } = clicks.segment();
  await outbox.bindTo(8);
  t.not(clicks.segment().name, name);
  t.match(clicks.segment(), { sequence: 0, before: 2 });
  append(3);
  t.match(await outbox.readBatch(8), { segment: clicks.segment().name, clicks: { length: 3 } });
  t.match(await outbox.readBatch(DATABASE), { segment: name, clicks: { length: 2 } });
  t.equal(await outbox.countStranded(8), 2);
  await outbox.bindTo(DATABASE);
  append(1);
  t.match(clicks.segment(), { sequence: 1, before: 5 });
  t.same(clicks.told, []);
});

t.test('clicks are of the database that a process knew before its file was there', async (t) => {
  const dataDir = t.testdir({ 'clicks.db': {} });
  const clicks = await openClicks(t, { dataDir, clock: createFakeClock() });
  await clicks.beOf(DATABASE);
  rmSync(join(dataDir, 'clicks.db'), { recursive: true });
  await clicks.journal.repair(new Error('not open'));
  clicks.journal.append([{ click: clickOn(1, 5), quota: null }]);
  const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });
  const outbox = createClickOutbox({ ...clicks, open: clicks.database, dialect });
  t.match(await outbox.readBatch(DATABASE), { clicks: { length: 1 } });
});
