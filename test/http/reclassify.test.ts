// POST /clicks:reclassify: history under the rules of today.
import t from 'tap';
import { makeLink, START, startHttp } from '../support/http.ts';
import { openClickFile, PLAIN_CLICK } from '../support/naive-tiers.ts';
import { until } from '../support/until.ts';

const PATH = '/api/v1/clicks:reclassify';

t.test('clicks of what is known as a bot today are no longer those of people', async (t) => {
  const { ask, dataDir, clock } = await startHttp(t);
  const { id } = await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  t.equal((await ask('GET', PATH)).status, 404);
  const file = openClickFile(dataDir);
  t.teardown(() => file.connection.close());
  file.store([
    { ...PLAIN_CLICK, linkId: id, atMs: clock.nowMs() - 2 },
    { ...PLAIN_CLICK, linkId: id, atMs: clock.nowMs() - 1 },
  ]);
  file.connection.exec(`
    insert into words (kind, text) values (1, 'curl/8.7.1') on conflict do nothing;
    update clicks set agent = (select id from words where text = 'curl/8.7.1') where id = (select min(id) from clicks)`);
  file.recount();
  const clicksOf = async () => ((await ask('GET', '/api/v1/links/autumn')).body as { clicks: number }).clicks;
  t.equal(await clicksOf(), 2);

  const dry = await ask('POST', PATH, { body: { dry_run: true } });
  t.equal(dry.status, 202);
  t.strictSame(dry.body, {
    dry_run: true,
    status: 'running',
    started_at: START,
    ended_at: null,
    read: 0,
    changed: [],
  });
  const isDone = () =>
    until('it is done', async () => ((await ask('GET', PATH)).body as { status: string }).status === 'done');
  await isDone();
  const changed = [{ from: 'human', to: 'bot', clicks: 1 }];
  t.strictSame((await ask('GET', PATH)).body, {
    dry_run: true,
    status: 'done',
    started_at: START,
    ended_at: START,
    read: 2,
    changed,
  });
  t.equal(await clicksOf(), 2);

  const hold = file.connection.prepare("insert into leases values ('reclassify', 'another process', ?)");
  file.connection.exec('delete from leases');
  hold.run(clock.nowMs() + 1);
  t.equal((await ask('POST', PATH, { body: {} })).status, 409, 'another process is at it');
  file.connection.exec('delete from leases');
  t.equal((await ask('POST', PATH, { body: {} })).status, 202);
  await isDone();
  t.match((await ask('GET', PATH)).body, { dry_run: false, changed });
  t.equal(await clicksOf(), 1);
  const { body } = await ask('GET', '/api/v1/links/autumn/stats');
  t.match(body, { totals: { by_reason: { human: 1, bot: 1 } } });
});

t.test('one that fails says so, and so does the log', async (t) => {
  const { ask, log } = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      tiers: { ...store.tiers, reclassify: () => Promise.reject(new Error('no file')) },
    }),
  });
  await makeLink(ask, { key: 'autumn', url: 'https://example.com/' });
  await ask('GET', '/autumn', { key: null });
  t.equal((await ask('POST', PATH, { body: {} })).status, 202);
  await until(
    'it has failed',
    async () => ((await ask('GET', PATH)).body as { status: string }).status === 'failed',
  );
  t.match(
    log().find(({ msg }) => msg === 'clicks cannot be reclassified'),
    { level: 'error', err: { message: 'no file' } },
  );
});
