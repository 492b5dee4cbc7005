import t from 'tap';
import { createConcurrencyLimit } from '../../app/guard/concurrency-limit.ts';

t.test('each client may hold so many at once, and one more for each it gives back', async (t) => {
  const limit = createConcurrencyLimit(2);
  t.same(
    ['a', 'a', 'a', 'b', 'a'].map((client) => limit.enter(client)),
    [true, true, false, true, false],
  );
  limit.leave('a');
  t.same([limit.enter('a'), limit.enter('a')], [true, false]);
});

t.test('whoever holds nothing is forgotten', async (t) => {
  const limit = createConcurrencyLimit(2);
  for (let n = 0; n < 100; n++) limit.enter(`client ${n}`);
  limit.enter('client 0');
  t.equal(limit.clientCount(), 100);
  for (let n = 0; n < 100; n++) limit.leave(`client ${n}`);
  t.equal(limit.clientCount(), 1);
  limit.leave('client 0');
  t.equal(limit.clientCount(), 0);
});
