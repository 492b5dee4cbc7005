// Whoever asks for statistics by the dozen, and leaves before they come.
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { WAITING_MAX } from '../../app/guard/long-reads.ts';
import { type HttpService, startHttp } from '../support/http.ts';
import { ADMIN_KEY } from '../support/service.ts';
import { until } from '../support/until.ts';

/** A service whose statistics come only when they are let. */
async function startHeld(t: Test) {
  let begun = 0;
  let asked = 0;
  const held: (() => void)[] = [];
  const service = await startHttp(t, {
    wrapStore: (store) => ({
      ...store,
      apiKeys: {
        ...store.apiKeys,
        findKeyByHash(hash) {
          asked++;
          return store.apiKeys.findKeyByHash(hash);
        },
      },
      stats: {
        ...store.stats,
        async readTiers(...args) {
          begun++;
          await new Promise<void>((resolve) => held.push(resolve));
          return store.stats.readTiers(...args);
        },
      },
    }),
  });
  return { ...service, begun: () => begun, asked: () => asked, letOne: () => held.shift()?.() };
}

const ask = ({ ask: request }: Pick<HttpService, 'ask'>) => request('GET', '/api/v1/stats');

t.test('so many wait for statistics, and the next is told to come again', async (t) => {
  const service = await startHeld(t);
  const answers = [ask(service), ask(service)];
  await until('two are read', () => service.begun() === 2);
  for (let waiting = 0; waiting < WAITING_MAX; waiting++) answers.push(ask(service));
  await until('one is refused', async () => (await ask(service)).status === 503);
  const { headers, body } = await ask(service);
  t.equal(headers.get('retry-after'), '1');
  t.match(body, { detail: 'Too many statistics, lists or exports are being read. Try again in a moment.' });
  t.equal((await service.ask('GET', '/api/v1/api-keys')).status, 200, 'what is short is answered');
  const all = Promise.all(answers);
  await until('all are answered', () => {
    service.letOne();
    return service.begun() === answers.length;
  });
  service.letOne();
  service.letOne();
  t.same(new Set((await all).map(({ status }) => status)), new Set([200]));
});

t.test('for those who left nothing is read', async (t) => {
  const service = await startHeld(t);
  const first = [ask(service), ask(service)];
  await until('two are read', () => service.begun() === 2);
  const { port } = new URL(service.url);
  const sockets = Array.from({ length: 10 }, () => connect(Number(port), '127.0.0.1'));
  for (const socket of sockets) {
    socket.write(`GET /api/v1/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN_KEY}\r\n\r\n`);
  }
  await until('they wait', () => service.asked() === 12);
  for (const socket of sockets) {
    socket.destroy();
    await once(socket, 'close');
  }
  await until('the service knows', () => service.log().filter(({ status }) => status === 499).length === 10);
  service.letOne();
  service.letOne();
  await Promise.all(first);
  const last = ask(service);
  await until('it is read', () => service.begun() === 3);
  service.letOne();
  t.equal((await last).status, 200);
  t.equal(service.begun(), 3);
});
