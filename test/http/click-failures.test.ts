// What is done with clicks beside the requests fails when clicks.db does: that is told once, and so is that it is over.
import { rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type HttpService, makeLink, startHttp } from '../support/http.ts';
import { makeFolder } from '../support/service.ts';

const MINUTE_MS = 60_000;

/** A service with a folder where its clicks.db should be, after a redirect, a key that is not known, and a minute. */
async function startBroken(t: Test): Promise<HttpService> {
  const service = await startHttp(t, { dataDir: t.testdir({ 'clicks.db': {} }) });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  t.equal((await service.ask('GET', '/autumn', { key: null })).status, 302);
  t.equal((await service.ask('GET', '/nothing', { key: null })).status, 404);
  await service.clock.advance(MINUTE_MS);
  return service;
}

function messages({ log }: HttpService): string[] {
  const told = log().map(({ msg }) => String(msg));
  return told.filter((msg) => /click|service level|minute|unknown keys/.test(msg));
}

t.test('failures beside the service are told once, and their end', async (t) => {
  const service = await startBroken(t);
  await service.clock.advance(MINUTE_MS);
  t.same(messages(service).sort(), [
    'clicks are stored and cannot be counted',
    'clicks cannot be stored and wait in memory',
    'links are shown without their clicks',
    'purged or lost clicks cannot be looked for',
    'the service level cannot be noted, and waits',
  ]);
  t.match((await service.manage('GET', '/metrics')).body, /^fleetlink_clicks_uncounted_seconds nan$/im);
  rmdirSync(join(service.dataDir, 'clicks.db'));
  for (let minute = 0; minute < 3; minute++) {
    await service.clock.advance(MINUTE_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const ended = messages(service).slice(5).sort();
  t.match(ended.join('\n'), /clicks are counted again/);
  t.match(ended.join('\n'), /clicks are stored again/);
  t.match(ended.join('\n'), /purged and lost clicks are looked for again/);
  t.match(ended.join('\n'), /the service level is noted again/);
});

t.test('what cannot be stored until the end is given up, and that is told', async (t) => {
  const service = await startBroken(t);
  let isStopped = false;
  const stopping = service.stop().then(() => {
    isStopped = true;
  });
  while (!isStopped) await service.clock.advance(100);
  await stopping;
  const told = messages(service);
  t.ok(told.includes('clicks were lost: they could not be stored in time'));
  t.ok(told.includes('the last minute was not noted'));
  t.ok(told.includes('the last unknown keys were not noted'));
});

t.test('a links.db that is older than the clicks beside it is told', async (t) => {
  const dataDir = makeFolder(t);
  const before = await startHttp(t, { dataDir });
  const { id } = await makeLink(before.ask, { key: 'autumn', url: 'https://example.com/' });
  await before.ask('GET', '/autumn', { key: null });
  await before.stop();
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `links.db${suffix}`), { force: true });
  const after = await startHttp(t, { dataDir });
  t.ok(after.log().some(({ msg }) => String(msg).startsWith('links.db is older than clicks.db')));
  t.ok((await makeLink(after.ask, { key: 'new', url: 'https://example.com/' })).id > id);
});
