// GET /unknown-keys: what people follow in vain.
import t from 'tap';
import { invalidFields, makeLink, START, startHttp, timeAfter } from '../support/http.ts';
import { startService } from '../support/service.ts';

t.test('keys that were followed in vain, most hit first, with what may have been meant', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  for (const key of ['autum', 'Autumn', 'autum', 'elsewhere']) await ask('GET', `/${key}`, { key: null });
  await clock.advance(1000);
  await ask('HEAD', '/autum', { key: null });
  const { status, body } = await ask('GET', '/api/v1/unknown-keys');
  t.equal(status, 200);
  const items = [
    { key: 'autum', count: 3, last_seen: timeAfter(1000), near: ['autumn'] },
    { key: 'Autumn', count: 1, last_seen: START, near: ['autumn'] },
    { key: 'elsewhere', count: 1, last_seen: START, near: [] },
  ];
  t.strictSame(body, { items, next_cursor: null });
  const two = await ask('GET', '/api/v1/unknown-keys?limit=2');
  t.strictSame(two.body, { items: items.slice(0, 2), next_cursor: null });
  const later = await ask('GET', '/api/v1/unknown-keys?since=2026-02-01T00:00:00Z');
  t.strictSame(later.body, { items: [], next_cursor: null });
});

t.test('a key that has got its link is unknown no more', async (t) => {
  const { ask } = await startHttp(t);
  await ask('GET', '/autumn', { key: null });
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  t.strictSame((await ask('GET', '/api/v1/unknown-keys')).body, { items: [], next_cursor: null });
  await ask('DELETE', '/api/v1/links/autumn');
  await ask('GET', '/autumn', { key: null });
  t.strictSame((await ask('GET', '/api/v1/unknown-keys')).body, { items: [], next_cursor: null });
});

t.test('a stop writes down what was not, and a start knows it', async (t) => {
  const first = await startHttp(t);
  await first.ask('GET', '/autum', { key: null });
  await first.stop();
  const second = await startHttp(t, { dataDir: first.dataDir });
  const { body } = await second.ask('GET', '/api/v1/unknown-keys');
  t.match(body, { items: [{ key: 'autum', count: 1 }] });
});

t.test('a stop does not fail for them', async (t) => {
  const service = await startService(t, {
    wrapStore: (store) => ({
      ...store,
      unknownKeys: { ...store.unknownKeys, addUnknownKeys: () => Promise.reject(new Error('full')) },
    }),
  });
  await fetch(`${service.url}/autum`);
  await service.stop();
  const line = service.log().find(({ msg }) => msg === 'the last unknown keys were not noted');
  t.match(line, { level: 'warn', err: { message: 'full' } });
});

t.test('what cannot be asked is told apart', async (t) => {
  const { ask } = await startHttp(t);
  const { body } = await ask('GET', '/api/v1/unknown-keys?since=monday&limit=101');
  t.strictSame(
    body,
    invalidFields({
      since: 'expected a time such as 2026-01-31T12:00:00Z',
      limit: 'expected a whole number from 1 to 100',
    }),
  );
});
