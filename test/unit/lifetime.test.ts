import t from 'tap';
import { createLifetime } from '../../app/kernel/lifetime.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function start({ drainMs = 5000, fails = false } = {}) {
  const clock = createFakeClock();
  const log: string[] = [];
  let finish: () => void = () => undefined;
  const lifetime = createLifetime({
    clock,
    drainMs,
    stop: () =>
      new Promise<void>((resolve, reject) => {
        log.push('stop');
        finish = () => (fails ? reject(new Error('disk')) : resolve());
      }),
    exit: (code) => log.push(`exit ${code}`),
    onPhase: (phase) => log.push(phase),
    onStopFailed: (error) => log.push(`failed ${String(error)}`),
  });
  return {
    log,
    lifetime,
    signal: lifetime.onSignal,
    advance: clock.advance,
    moveWall: clock.moveWall,
    finish: async () => {
      finish();
      await clock.advance(0);
    },
  };
}

t.test('SIGINT stops at once and exits with 0 when everything is finished', async (t) => {
  const { log, lifetime, signal, finish } = start();
  t.notOk(lifetime.isDraining());
  t.notOk(lifetime.isStopping());
  signal('SIGINT');
  t.same(log, ['stopping', 'stop']);
  t.notOk(lifetime.isDraining(), 'readiness stays as it is');
  t.ok(lifetime.isStopping());
  await finish();
  t.same(log, ['stopping', 'stop', 'exit 0']);
});

t.test('SIGTERM drains for drainMs, then stops', async (t) => {
  const { log, lifetime, signal, advance, finish } = start();
  signal('SIGTERM');
  t.ok(lifetime.isDraining());
  await advance(4999);
  t.same(log, ['draining']);
  await advance(1);
  t.same(log, ['draining', 'stopping', 'stop']);
  t.notOk(lifetime.isDraining());
  await finish();
  t.same(log, ['draining', 'stopping', 'stop', 'exit 0']);
});

t.test('a second SIGTERM does not prolong or repeat the drain', async (t) => {
  const { log, signal, advance } = start();
  signal('SIGTERM');
  await advance(3000);
  signal('SIGTERM');
  await advance(2000);
  t.same(log, ['draining', 'stopping', 'stop']);
  await advance(10_000);
  t.same(log, ['draining', 'stopping', 'stop']);
});

t.test('SIGINT ends a drain early, and the drain does not stop it a second time', async (t) => {
  const { log, signal, advance, finish } = start();
  signal('SIGTERM');
  await advance(1000);
  signal('SIGINT');
  t.same(log, ['draining', 'stopping', 'stop']);
  await advance(10_000);
  t.same(log, ['draining', 'stopping', 'stop']);
  await finish();
  t.same(log, ['draining', 'stopping', 'stop', 'exit 0']);
});

t.test('a signal that comes again at once is the same Ctrl-C; after a second it is impatience', async (t) => {
  for (const again of ['SIGINT', 'SIGTERM'] as const) {
    const { log, signal, advance } = start();
    signal('SIGINT');
    signal(again);
    await advance(999);
    signal(again);
    t.same(log, ['stopping', 'stop']);
    await advance(1);
    signal(again);
    t.same(log, ['stopping', 'stop', 'exit 130']);
  }
});

t.test('a wall clock that is set by an hour makes nobody impatient, and nobody patient', async (t) => {
  for (const ms of [3_600_000, -3_600_000]) {
    const { log, signal, advance, moveWall } = start();
    signal('SIGINT');
    moveWall(ms);
    signal('SIGINT');
    t.same(log, ['stopping', 'stop']);
    await advance(1000);
    signal('SIGINT');
    t.same(log, ['stopping', 'stop', 'exit 130']);
  }
});

t.test('a stop that fails is told and exits with 1', async (t) => {
  const { log, signal, finish } = start({ fails: true });
  signal('SIGINT');
  await finish();
  t.same(log, ['stopping', 'stop', 'failed Error: disk', 'exit 1']);
});

t.test('with no time to drain SIGTERM stops in the next turn', async (t) => {
  const { log, signal, advance } = start({ drainMs: 0 });
  signal('SIGTERM');
  t.same(log, ['draining']);
  await advance(0);
  t.same(log, ['draining', 'stopping', 'stop']);
});
