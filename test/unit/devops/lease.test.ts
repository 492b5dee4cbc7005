// Who may change a host, on real files and with real processes.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mock } from 'node:test';
import { promisify } from 'node:util';
import t from 'tap';
import { layoutOf } from '../../../devops/host/layout.ts';
import {
  acquireLease,
  isHeld,
  LEASE_MS,
  readLease,
  releaseLease,
  renewLease,
  requireLease,
  underLease,
} from '../../../devops/host/lease.ts';

const ROUNDS = 300;

const asked = (deploy: string) => ({ deploy, holder: 'somebody@laptop', doing: 'roll to r2' });

t.test('one deploy holds a host, and the next one has a higher number', async (t) => {
  const layout = layoutOf(t.testdir());
  const first = acquireLease(layout, asked('one'));
  t.throws(() => acquireLease(layout, asked('two')), {
    code: 'lease_held',
    message: /^somebody@laptop is deploying \(one: roll to r2\) since \d+ s\. .* free in \d+ s\.$/,
  });
  t.equal(await underLease(layout, first, async () => 'done'), 'done');
  releaseLease(layout, first);
  const second = acquireLease(layout, asked('two'));
  t.equal(second.epoch, first.epoch + 1);
  const notOurs = async (): Promise<unknown> => t.fail('it does not hold it');
  await t.rejects(underLease(layout, first, notOurs), { code: 'lease_lost' });
  t.throws(() => renewLease(layout, first), { code: 'lease_lost' });
  t.throws(
    () => releaseLease(layout, first),
    { code: 'lease_lost' },
    'nor may it give away what is not its own',
  );
  t.equal(renewLease(layout, second).epoch, second.epoch);
});

t.test('a lease is over when nobody renewed it, and none is for longer than leases are', async (t) => {
  const layout = layoutOf(t.testdir());
  const lease = acquireLease(layout, asked('one'));
  const now = lease.sinceMs;
  t.ok(isHeld(lease, now + LEASE_MS - 1));
  t.notOk(isHeld(lease, now + LEASE_MS));
  t.notOk(isHeld(lease, now - 24 * 60 * 60 * 1000), 'its clock was wrong');
  t.notOk(isHeld(null, now));
});

t.test('while a step is at work nobody else begins one, and the lease goes on', async (t) => {
  const layout = layoutOf(t.testdir());
  const lease = acquireLease(layout, asked('one'));
  await underLease(layout, lease, async () => {
    t.throws(() => renewLease(layout, lease), { code: 'busy' });
    t.throws(() => acquireLease(layout, asked('two')), { code: 'busy' });
  });
  t.ok((readLease(layout)?.untilMs ?? 0) >= lease.untilMs);
  t.ok(renewLease(layout, lease));
});

t.test('one whose time was over goes on where nobody else came', async (t) => {
  const layout = layoutOf(t.testdir());
  const lease = acquireLease(layout, asked('one'));
  writeFileSync(layout.lease, JSON.stringify({ ...lease, untilMs: Date.now() - 1 }));
  t.throws(() => requireLease(layout, lease), { code: 'lease_lost' });
  renewLease(layout, lease);
  t.ok(requireLease(layout, lease));
  releaseLease(layout, lease);
  t.throws(() => renewLease(layout, lease), { code: 'lease_lost' }, 'it was given away');
});

t.test('a lease that is lost in the middle of a step ends nothing before the step is over', async (t) => {
  const layout = layoutOf(t.testdir());
  const lease = acquireLease(layout, asked('one'));
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  let isEnded = false;
  const work = underLease(layout, lease, async () => {
    writeFileSync(layout.lease, JSON.stringify({ ...lease, deploy: 'two', epoch: lease.epoch + 1 }));
    mock.timers.tick(LEASE_MS);
    isEnded = true;
  });
  await t.rejects(work, { code: 'lease_lost' });
  t.ok(isEnded);
  t.notOk(existsSync(layout.lock));
});

t.test('the lock of a process that is gone is taken away', async (t) => {
  const layout = layoutOf(t.testdir());
  mkdirSync(layout.root, { recursive: true });
  // None has that number; one of another start of the machine; what no process has written.
  for (const holder of ['4194305 1', `${process.pid} 1`, 'nobody']) {
    symlinkSync(holder, layout.lock);
    const lease = acquireLease(layout, asked('one'));
    releaseLease(layout, lease);
    t.notOk(existsSync(layout.lock), holder);
  }
  mkdirSync(join(layout.lock, 'anything'), { recursive: true });
  t.ok(acquireLease(layout, asked('one')));
});

t.test('of many processes that take and free it one has it at a time', async (t) => {
  const folder = t.testdir();
  const [path, held] = [join(folder, 'lock'), join(folder, 'held')];
  // Each begins with a lock whose holder is gone, and makes a folder that can be made once.
  const program = `
    import { mkdirSync, rmdirSync, symlinkSync } from 'node:fs';
    import { freeLock, takeLock } from ${JSON.stringify(resolve('devops/host/process-lock.ts'))};
    let taken = 0;
    while (taken < ${ROUNDS}) {
      if (!takeLock(${JSON.stringify(path)})) continue;
      mkdirSync(${JSON.stringify(held)});
      rmdirSync(${JSON.stringify(held)});
      freeLock(${JSON.stringify(path)});
      taken++;
      if (taken % 10 === 0) try { symlinkSync('4194305 1', ${JSON.stringify(path)}); } catch (error) { if (error.code !== 'EEXIST') throw error; }
    }`;
  const runs = Array.from({ length: 3 }, () =>
    promisify(execFile)(process.execPath, [
      '--import=./scripts/strip-types.mjs',
      '--input-type=module',
      '--eval',
      program,
    ]),
  );
  for (const { stderr } of await Promise.all(runs)) t.equal(stderr, '');
});
