import t from 'tap';
import { isRfc3339, systemClock, toRfc3339 } from '../../app/kernel/clock.ts';
import { AppError, invalid, StartError } from '../../app/kernel/errors.ts';

t.test('an AppError carries what an answer needs', async (t) => {
  const cause = new Error('driver');
  const error = new AppError('rate_limited', 'Too many.', { cause, retryAfterSeconds: 3, allow: ['GET'] });
  t.same(
    [error.name, error.code, error.message, error.faults, error.retryAfterSeconds, error.allow, error.cause],
    ['AppError', 'rate_limited', 'Too many.', [], 3, ['GET'], cause],
  );
  const bare = new AppError('gone', 'Gone.');
  t.same([bare.faults, bare.retryAfterSeconds, bare.allow, 'cause' in bare], [[], null, null, false]);
});

t.test('faults of fields are summed up by the first', async (t) => {
  const url = { field: 'url', message: 'is missing' };
  const key = { field: 'key', message: 'is taken' };
  t.match(invalid([url]), { code: 'invalid', message: 'url: is missing', faults: [url] });
  t.match(invalid([url, key, key]), { message: 'url: is missing (and 2 more)', faults: [url, key, key] });
  t.match(invalid([]), { code: 'invalid', message: 'The request is not valid.', faults: [] });
});

t.test('a StartError is told by its name', async (t) => {
  t.equal(new StartError('no').name, 'StartError');
});

t.test('times leave the process in one form', async (t) => {
  t.equal(toRfc3339(0), '1970-01-01T00:00:00.000Z');
  t.equal(toRfc3339(Date.UTC(2026, 0, 31, 12, 0, 0, 7)), '2026-01-31T12:00:00.007Z');
  const end = Date.parse('9999-12-31T23:59:59.999Z');
  const start = Date.parse('0000-01-01T00:00:00Z');
  t.same([start - 1, start, end, end + 1].map(isRfc3339), [false, true, true, false]);
});

t.test('the system clock goes on and sleeps', async (t) => {
  const before = systemClock.nowMs();
  const beforeMonotonic = systemClock.monotonicMs();
  await systemClock.sleep(2);
  t.ok(systemClock.nowMs() > before);
  t.ok(systemClock.monotonicMs() > beforeMonotonic);
  t.ok(Number.isInteger(systemClock.monotonicMs()), 'limits count in whole numbers');
});
