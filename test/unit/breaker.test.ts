import t from 'tap';
import { createBreaker } from '../../app/kernel/breaker.ts';
import { createFakeClock } from '../support/fake-clock.ts';

function start() {
  const clock = createFakeClock();
  return { clock, breaker: createBreaker({ clock, failuresMax: 3, openMs: 1000 }) };
}

t.test('failures in a row open it, others do not', async (t) => {
  const { clock, breaker } = start();
  for (let time = 0; time < 5; time++) {
    breaker.failed(clock.monotonicMs());
    breaker.failed(clock.monotonicMs());
    t.ok(breaker.mayAsk());
    breaker.succeeded();
  }
  t.equal(breaker.state(), 'closed');
  for (let time = 0; time < 3; time++) breaker.failed(clock.monotonicMs());
  t.equal(breaker.state(), 'open');
  t.notOk(breaker.mayAsk());
});

t.test('after a while one asks, and his answer decides for all', async (t) => {
  const { clock, breaker } = start();
  for (let time = 0; time < 3; time++) breaker.failed(clock.monotonicMs());
  await clock.advance(999);
  t.notOk(breaker.mayAsk());
  await clock.advance(1);
  t.equal(breaker.state(), 'half_open');
  t.same([breaker.mayAsk(), breaker.mayAsk(), breaker.mayAsk()], [true, false, false]);
  breaker.failed(clock.monotonicMs());
  t.equal(breaker.state(), 'open');
  await clock.advance(1000);
  t.ok(breaker.mayAsk());
  breaker.succeeded();
  t.equal(breaker.state(), 'closed');
  t.same([breaker.mayAsk(), breaker.mayAsk()], [true, true]);
});

t.test('a failure of a question that was asked before an answer says nothing', async (t) => {
  const { clock, breaker } = start();
  const before = clock.monotonicMs();
  await clock.advance(10);
  breaker.succeeded();
  for (let time = 0; time < 3; time++) breaker.failed(before);
  t.equal(breaker.state(), 'closed');
});

t.test('who was to ask and did not leaves it to the next one', async (t) => {
  const { clock, breaker } = start();
  for (let time = 0; time < 3; time++) breaker.failed(clock.monotonicMs());
  await clock.advance(1000);
  t.same([breaker.mayAsk(), breaker.mayAsk()], [true, false]);
  breaker.gaveUp(clock.monotonicMs() - 1);
  t.notOk(breaker.mayAsk(), 'one who wanted to before it opened says nothing of it');
  breaker.gaveUp(clock.monotonicMs());
  t.equal(breaker.state(), 'half_open');
  t.ok(breaker.mayAsk());
});
