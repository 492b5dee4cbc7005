import fc from 'fast-check';
import t from 'tap';
import { createRateLimit, toClientId } from '../../app/guard/rate-limit.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { propertyRuns } from '../support/property.ts';

t.test('grants what is allowed at once, then one for each share of the period', async (t) => {
  const clock = createFakeClock();
  const limit = createRateLimit({ clock }, { allowed: 3, perMs: 60_000 });
  t.same(
    [1, 2, 3, 4, 5].map(() => limit.take('a')),
    [0, 0, 0, 20, 20],
  );
  await clock.advance(19_999);
  t.equal(limit.take('a'), 1);
  await clock.advance(1);
  t.same([limit.take('a'), limit.take('a')], [0, 20]);
  await clock.advance(600_000);
  t.same(
    [1, 2, 3, 4].map(() => limit.take('a')),
    [0, 0, 0, 20],
    'never more than the bucket holds',
  );
});

t.test('clients do not share a bucket', async (t) => {
  const limit = createRateLimit({ clock: createFakeClock() }, { allowed: 1, perMs: 60_000 });
  t.same([limit.take('a'), limit.take('b'), limit.take('a'), limit.take('b')], [0, 0, 60, 60]);
});

t.test('who waits as told is served, whatever does not divide evenly', async (t) => {
  for (let allowed = 3; allowed <= 97; allowed++) {
    const clock = createFakeClock(0);
    const limit = createRateLimit({ clock }, { allowed, perMs: 60_000 });
    for (let turn = 0; turn < 50; turn++) {
      const wait = limit.take('a', 3);
      await clock.advance(wait * 1000);
      if (wait > 0 && limit.take('a', 3) !== 0) t.fail(`refused after ${wait} s at ${allowed} a minute`);
    }
  }
});

t.test('several at once are granted together or not at all', async (t) => {
  const clock = createFakeClock();
  const limit = createRateLimit({ clock }, { allowed: 10, perMs: 10_000 });
  t.same([limit.take('a', 6), limit.take('a', 6), limit.take('a', 4), limit.take('a', 1)], [0, 2, 0, 1]);
});

t.test('more than the bucket holds is granted when it is full, and waited out afterwards', async (t) => {
  const clock = createFakeClock();
  const limit = createRateLimit({ clock }, { allowed: 10, perMs: 10_000 });
  t.same([limit.take('a', 25), limit.take('a')], [0, 16]);
  await clock.advance(16_000);
  t.same([limit.take('a'), limit.take('a', 25)], [0, 10]);
});

t.test('0 allows everything', async (t) => {
  const limit = createRateLimit({ clock: createFakeClock() }, { allowed: 0, perMs: 60_000 });
  t.same([limit.take('a', 1_000_000), limit.take('a')], [0, 0]);
});

t.test('a wall clock that is set by an hour neither grants nor refuses anything', async (t) => {
  const clock = createFakeClock();
  const limit = createRateLimit({ clock }, { allowed: 1, perMs: 60_000 });
  limit.take('a');
  for (const ms of [3_600_000, -7_200_000]) {
    clock.moveWall(ms);
    t.equal(limit.take('a'), 60);
  }
  await clock.advance(60_000);
  t.equal(limit.take('a'), 0);
});

t.test(
  'any sequence: no window sees more than the bucket and its refill; who waits as told is served',
  async (t) => {
    const step = fc.record({
      waitMs: fc.oneof(fc.constant(0), fc.nat(50), fc.nat(20_000)),
      count: fc.integer({ min: 1, max: 3 }),
      isPatient: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 97 }),
        fc.constantFrom(1000, 60_000, 7919),
        fc.array(step, { minLength: 1, maxLength: 60 }),
        async (allowed, perMs, steps) => {
          const clock = createFakeClock(0);
          const limit = createRateLimit({ clock }, { allowed, perMs });
          const grants: { atMs: number; count: number }[] = [];
          const take = (count: number): number => {
            const wait = limit.take('a', count);
            if (wait === 0) grants.push({ atMs: clock.nowMs(), count });
            return wait;
          };
          for (const { waitMs, count, isPatient } of steps) {
            await clock.advance(waitMs);
            const wait = take(count);
            if (wait === 0 || !isPatient) continue;
            await clock.advance(wait * 1000);
            if (take(count) !== 0) throw new Error(`refused after the ${wait} s it asked for`);
          }
          grants.forEach((first, from) => {
            let sum = 0;
            for (const { atMs, count } of grants.slice(from)) {
              sum += count;
              const most = allowed + ((atMs - first.atMs) * allowed) / perMs;
              if (sum > most + 1e-6) throw new Error(`${sum} granted where ${most} are allowed`);
            }
          });
        },
      ),
      propertyRuns(t, { runs: 150, proveRuns: 20_000 }),
    );
  },
);

t.test('a full table forgets the client seen longest ago', async (t) => {
  const limit = createRateLimit({ clock: createFakeClock() }, { allowed: 1, perMs: 60_000 });
  limit.take('first');
  for (let n = 0; n < 49_999; n++) limit.take(`client ${n}`);
  t.equal(limit.take('first'), 60, '50,000 are remembered');
  limit.take('one more');
  t.equal(limit.take('first'), 60, 'asking counts as being seen');
  t.equal(limit.take('client 0'), 0);
});

t.test('IPv4 addresses stand for themselves, IPv6 ones for their /64', async (t) => {
  const cases = [
    ['203.0.113.7', '203.0.113.7'],
    ['unknown', 'unknown'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:203.0.113.7', '203.0.113.7'],
    ['::ffff:cb00:7107', '203.0.113.7'],
    ['0:0:0:0:0:ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::2:0:0:1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:1::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['::203.0.113.7', '0:0:0:0::/64'],
    ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1::ffff:203.0.113.7', '1:0:0:0::/64'],
  ] as const;
  for (const [address, client] of cases) t.equal(toClientId(address), client, address);
});

t.test('any two addresses of one /64 are one client, however they are written', async (t) => {
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
  const eight = (groups: readonly number[]) => groups.map((value) => value.toString(16)).join(':');
  const padded = (groups: readonly number[]) =>
    groups.map((value) => value.toString(16).toUpperCase().padStart(4, '0')).join(':');
  fc.assert(
    fc.property(
      fc.array(group, { minLength: 4, maxLength: 4 }),
      fc.array(group, { minLength: 4, maxLength: 4 }),
      (network, host) => {
        fc.pre(network.some((value) => value !== 0));
        const id = `${eight(network)}::/64`;
        const compressed = new URL(`http://[${eight([...network, ...host])}]`).hostname.slice(1, -1);
        return (
          toClientId(eight([...network, ...host])) === id &&
          toClientId(padded([...network, ...host])) === id &&
          toClientId(compressed) === id
        );
      },
    ),
    propertyRuns(t, { runs: 500, proveRuns: 50_000 }),
  );
});
