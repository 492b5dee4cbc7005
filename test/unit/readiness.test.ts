import { join } from 'node:path';
import t from 'tap';
import type { DrainStore } from '../../app/health/drain.ts';
import {
  decideReadiness,
  FREE_BYTES_MIN,
  type ReadinessDeps,
  readReadiness,
} from '../../app/health/readiness.ts';
import { createFakeClock } from '../support/fake-clock.ts';

t.test('readiness follows from what is known, the worst first', async (t) => {
  const good = { isStoreReadable: true, isDraining: false, freeBytes: FREE_BYTES_MIN };
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
  t.same(decideReadiness({ isStoreReadable: false, isDraining: true, freeBytes: 0 }), {
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
    readReadiness({
      clock,
      drain: drainUntil(null),
      probeStore: async () => undefined,
      dataDir,
      isStopping: () => false,
      ...changes,
    });
  const ready = { status: 'ready', reasons: [] };
  const draining = { status: 'draining', reasons: ['drain'] };
  const unready = { status: 'unready', reasons: ['links_db'] };

  t.same(await read(), ready);
  t.same(await read({ drain: drainUntil(1001) }), draining);
  t.same(await read({ drain: drainUntil(1000) }), ready, 'a drain whose time is over is none');
  t.same(await read({ isStopping: () => true }), draining);
  t.same(await read({ probeStore: () => Promise.reject(new Error('SQLITE_CORRUPT')) }), unready);
  t.same(
    await read({
      drain: { ...drainUntil(null), readDrainUntilMs: () => Promise.reject(new Error('SQLITE_IOERR')) },
    }),
    unready,
  );
  t.same(await read({ dataDir: join(dataDir, 'missing') }), { status: 'degraded', reasons: ['disk'] });
});
