import { join } from 'node:path';
import t from 'tap';
import type { DrainStore } from '../../app/health/drain.ts';
import {
  createReadiness,
  decideReadiness,
  FREE_BYTES_MIN,
  type Readiness,
  type ReadinessDeps,
} from '../../app/health/readiness.ts';
import { createFakeClock } from '../support/fake-clock.ts';

t.test('readiness follows from what is known, the worst first', async (t) => {
  const good = {
    isStoreReadable: true,
    isDraining: false,
    areClicksStored: true,
    isSharedReachable: true,
    isCopyWell: true,
    freeBytes: FREE_BYTES_MIN,
  };
  t.same(decideReadiness(good), { status: 'ready', reasons: [] });
  t.same(decideReadiness({ ...good, freeBytes: FREE_BYTES_MIN - 1 }), {
    status: 'degraded',
    reasons: ['disk'],
  });
  t.same(decideReadiness({ ...good, freeBytes: null }), { status: 'degraded', reasons: ['disk'] });
  t.same(decideReadiness({ ...good, isDraining: true, freeBytes: 0 }), {
    status: 'draining',
    reasons: ['drain'],
  });
  t.same(decideReadiness({ ...good, areClicksStored: false, freeBytes: 0 }), {
    status: 'degraded',
    reasons: ['clicks_db', 'disk'],
  });
  t.same(decideReadiness({ ...good, isSharedReachable: false }), {
    status: 'degraded',
    reasons: ['database'],
  });
  t.same(decideReadiness({ ...good, isCopyWell: false, freeBytes: 0 }), {
    status: 'degraded',
    reasons: ['copy', 'disk'],
  });
  t.same(decideReadiness({ ...good, isStoreReadable: false, isCopyWell: false, isSharedReachable: false }), {
    status: 'unready',
    reasons: ['copy'],
  });
  t.same(decideReadiness({ ...good, isStoreReadable: false, isDraining: true, freeBytes: 0 }), {
    status: 'unready',
    reasons: ['links_db'],
  });
});

t.test('the facts are asked of the store, the clock, the process and the disk', async (t) => {
  const clock = createFakeClock(1000);
  const dataDir = t.testdir();
  const drainUntil = (untilMs: number | null): DrainStore => ({
    readDrainUntilMs: async () => untilMs,
    writeDrainUntilMs: async () => undefined,
  });
  const read = (changes: Partial<ReadinessDeps> = {}) =>
    createReadiness({
      clock,
      drain: drainUntil(null),
      probeStore: async () => undefined,
      dataDir,
      readSharedFailure: () => null,
      readCopyFailure: () => null,
      readClickFailure: () => null,
      isDraining: () => false,
      onChange: () => undefined,
      ...changes,
    })();
  const ready = { status: 'ready', reasons: [] };
  const draining = { status: 'draining', reasons: ['drain'] };
  const unready = { status: 'unready', reasons: ['links_db'] };

  t.same(await read(), ready);
  t.same(await read({ drain: drainUntil(1001) }), draining);
  t.same(await read({ drain: drainUntil(1000) }), ready, 'a drain whose time is over is none');
  t.same(await read({ isDraining: () => true }), draining);
  t.same(await read({ probeStore: () => Promise.reject(new Error('SQLITE_CORRUPT')) }), unready);
  t.same(
    await read({
      drain: { ...drainUntil(null), readDrainUntilMs: () => Promise.reject(new Error('SQLITE_IOERR')) },
    }),
    unready,
  );
  t.same(await read({ dataDir: join(dataDir, 'missing') }), { status: 'degraded', reasons: ['disk'] });
  const failure = new Error('SQLITE_FULL');
  t.same(await read({ readClickFailure: () => failure }), { status: 'degraded', reasons: ['clicks_db'] });
  t.same(await read({ readCopyFailure: () => failure }), { status: 'degraded', reasons: ['copy'] });
  t.same(await read({ readSharedFailure: () => failure }), { status: 'degraded', reasons: ['database'] });
});

t.test('a change is told once, with what is behind it', async (t) => {
  let error: Error | null = null;
  const told: [Readiness['status'], unknown][] = [];
  const read = createReadiness({
    clock: createFakeClock(),
    drain: { readDrainUntilMs: async () => null, writeDrainUntilMs: async () => undefined },
    probeStore: async () => {
      if (error !== null) throw error;
    },
    dataDir: t.testdir(),
    readSharedFailure: () => null,
    readCopyFailure: () => null,
    readClickFailure: () => null,
    isDraining: () => false,
    onChange: ({ status }, cause) => told.push([status, cause]),
  });
  await read();
  t.same(told, [], 'ready is how it begins');
  error = new Error('SQLITE_CORRUPT');
  await read();
  await read();
  t.same(told, [['unready', error]]);
  const cause = error;
  error = null;
  await read();
  t.same(told, [
    ['unready', cause],
    ['ready', null],
  ]);
});
