import t from 'tap';
import { createFakeClock } from '../support/fake-clock.ts';
import { makeLink, startHttp } from '../support/http.ts';

const MINUTE_MS = 60_000;

t.test('the service level is kept by minute, over restarts', async (t) => {
  const clock = createFakeClock();
  const first = Math.floor(clock.nowMs() / MINUTE_MS);
  const service = await startHttp(t, { clock });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const follow = (path: string) => service.ask('GET', path, { key: null });
  for (const path of ['/autumn', '/autumn', '/nothing', '/healthz']) await follow(path);
  await clock.advance(MINUTE_MS);
  await follow('/autumn');
  const { sli } = service.context.store;
  t.same(await sli.sumSince(first), { good: 2, total: 2 }, 'a minute is stored once it is over');
  const { dataDir } = service;
  await service.stop();

  const again = await startHttp(t, { clock, dataDir });
  t.same(await again.context.store.sli.sumSince(first), { good: 3, total: 3 });
  t.same(await again.context.store.sli.sumSince(first + 1), { good: 1, total: 1 });
  t.same(await again.context.store.sli.sumSince(first + 2), { good: 0, total: 0 });
  await again.context.store.sli.addToMinute(first, { good: 1, total: 5 });
  t.same(await again.context.store.sli.sumSince(first), { good: 4, total: 8 }, 'two processes add up');

  const later = first + 41 * 24 * 60;
  await again.context.store.sli.addToMinute(later, { good: 1, total: 1 });
  t.same(await again.context.store.sli.sumSince(0), { good: 1, total: 1 }, 'after 40 days it is forgotten');
});
