// The salts of visitors: one a day for all processes, thrown away when the day is over, and never a reason to fail.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createVisitorHash, DAY_MS } from '../../app/clicks/visitor.ts';
import { createSalts } from '../../app/store/sqlite/click-salts.ts';
import { lockClicks, openClicks, queryClicks } from '../support/clicks.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { mountSmallDisk } from '../support/small-disk.ts';

const clock = createFakeClock();
const TODAY = Math.floor(clock.nowMs() / DAY_MS);

const open = (t: Test, dataDir: string, nowMs = clock.nowMs()) =>
  openClicks(t, { dataDir, clock: createFakeClock(nowMs) });

t.test('all processes have the same salt for a day, and another for the next', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  const first = one.salts.saltOf(TODAY);
  t.match(first, { salt: /^[0-9a-f]{32}$/, isShared: true });
  t.same(other.salts.saltOf(TODAY), first);
  t.same(one.salts.saltOf(TODAY), first);
  const second = other.salts.saltOf(TODAY + 1);
  t.not(second.salt, first.salt);
  t.same(one.salts.saltOf(TODAY + 1), second);
});

t.test('the salt of a day that is over is thrown away, and its bytes are', async (t) => {
  const dataDir = t.testdir();
  const { salts, close } = await open(t, dataDir);
  const { salt } = salts.saltOf(TODAY);
  salts.saltOf(TODAY + 1);
  t.same(queryClicks(dataDir, 'select day from salts'), [{ day: TODAY + 1 }]);
  close();
  t.notOk(readFileSync(join(dataDir, 'clicks.db')).includes(salt), 'not even in what is free of the file');
});

t.test('where salts come from elsewhere none is made, and one that was put there is used', async (t) => {
  const dataDir = t.testdir();
  const { salts, database } = await openClicks(t, { dataDir, clock, makesSalts: false });
  t.match(salts.saltOf(TODAY), { salt: /^[0-9a-f]{32}$/, isShared: false });
  t.same(queryClicks(dataDir, 'select day from salts'), []);
  await database().writer.insertInto('salts').values({ day: TODAY, salt: 'given' }).execute();
  t.same(salts.saltOf(TODAY), { salt: 'given', isShared: true });
});

t.test('a start throws away what a quiet service had left', async (t) => {
  const dataDir = t.testdir();
  (await open(t, dataDir)).salts.saltOf(TODAY);
  await open(t, dataDir);
  t.same(queryClicks(dataDir, 'select day from salts'), [{ day: TODAY }], 'not that of today');
  await open(t, dataDir, clock.nowMs() + DAY_MS);
  t.same(queryClicks(dataDir, 'select day from salts'), []);
});

t.test('while another process writes this one has a salt of its own, and then the shared one', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  const lock = lockClicks(t, dataDir);
  const own = one.salts.saltOf(TODAY);
  t.match(own, { salt: /^[0-9a-f]{32}$/, isShared: false });
  t.same(one.salts.saltOf(TODAY), own, 'the same as long as it lasts');
  t.not(one.salts.saltOf(TODAY + 1).salt, own.salt);
  lock.release();
  const shared = other.salts.saltOf(TODAY);
  t.same(one.salts.saltOf(TODAY), shared);
  t.not(shared.salt, own.salt);
});

t.test('without room, or without a file, there is a salt all the same', async (t) => {
  const none = createSalts(() => null, randomBytes);
  t.match(none.saltOf(TODAY), { salt: /^[0-9a-f]{32}$/, isShared: false });
  const disk = mountSmallDisk(t, 4096);
  if (disk === null) return;
  const { salts } = await open(t, disk.path);
  disk.fill();
  t.match(salts.saltOf(TODAY), { isShared: false });
  disk.free();
  t.match(salts.saltOf(TODAY), { isShared: true });
});

t.test('visitors are hashed with the shared salt as soon as there is one', async (t) => {
  const dataDir = t.testdir();
  const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
  const [hash, hashOther] = [createVisitorHash(one.salts), createVisitorHash(other.salts)];
  const at = (ms: number) => ['203.0.113.7', 'agent', TODAY * DAY_MS + ms] as const;
  const lock = lockClicks(t, dataDir);
  const own = hash(...at(0));
  t.equal(hash(...at(99)), own);
  lock.release();
  const shared = hashOther(...at(99));
  t.not(shared, own);
  t.equal(hash(...at(99)), own, 'it is not asked for with each click');
  t.equal(hash(...at(100)), shared);
  t.equal(hash(...at(101)), shared);
});

t.test(
  'a last click of the day is hashed as those before it, though another process has begun the next',
  async (t) => {
    const dataDir = t.testdir();
    const [one, other] = [await open(t, dataDir), await open(t, dataDir)];
    const hash = createVisitorHash(one.salts);
    const at = (day: number) => ['203.0.113.7', 'agent', day * DAY_MS] as const;
    const before = hash(...at(TODAY));
    createVisitorHash(other.salts)(...at(TODAY + 1));
    t.equal(hash(...at(TODAY)), before);
    t.same(queryClicks(dataDir, 'select day from salts'), [{ day: TODAY + 1 }]);
  },
);

t.test('a clock that goes back and forth over midnight knows its visitors again', async (t) => {
  const dataDir = t.testdir();
  const { salts } = await open(t, dataDir);
  const hash = createVisitorHash(salts);
  const at = (day: number) => hash('203.0.113.7', 'agent', day * DAY_MS);
  const today = at(TODAY);
  const tomorrow = at(TODAY + 1);
  t.not(at(TODAY), today, 'what is thrown away does not come back');
  t.equal(at(TODAY + 1), tomorrow);
  t.equal(at(TODAY + 1), tomorrow);
});
