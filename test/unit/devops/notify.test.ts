// Who is told of a deploy: in order, again where it fails, and never so that the deploy suffers.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createNotifier, type News, postJson } from '../../../devops/notify/notify.ts';

const NEWS: News = {
  occasion: 'undone',
  environment: 'staging',
  deploy: 'd1',
  release: 'r2',
  by: 'somebody@laptop',
  hosts: ['h1', 'h2'],
  failures: ['prove h1 r2: it is not ready'],
};

function start(answer: (url: string, tries: number) => void) {
  const posted: [url: string, body: string][] = [];
  const told: string[] = [];
  const slept: number[] = [];
  const notifier = createNotifier({
    receivers: [
      { kind: 'slack', url: 'https://slack.example/secret' },
      { kind: 'webhook', url: 'https://hooks.example/secret' },
    ],
    async post(url, body) {
      posted.push([url, body]);
      answer(url, posted.filter(([one]) => one === url).length);
    },
    sleep: async (ms) => void slept.push(ms),
    onFailed: (sentence) => told.push(sentence),
  });
  return { notifier, posted, told, slept };
}

t.test('each receiver gets what it can read', async (t) => {
  const { notifier, posted, told } = start(() => undefined);
  notifier.tell({ ...NEWS, occasion: 'begun', failures: [] });
  notifier.tell(NEWS);
  await notifier.settled();
  t.same(
    posted.map(([url]) => new URL(url).host),
    [...['slack.example', 'hooks.example'], ...['slack.example', 'hooks.example']],
  );
  t.equal(
    (JSON.parse(posted[2]?.[1] ?? '') as { text: string }).text,
    'r2 failed, and was taken back on staging (h1, h2), by somebody@laptop, deploy d1.\nprove h1 r2: it is not ready',
  );
  t.same(JSON.parse(posted[3]?.[1] ?? ''), NEWS);
  t.same(told, []);
});

t.test('who does not take it is asked again, and then left, without his address in the words', async (t) => {
  const { notifier, posted, told, slept } = start((url, tries) => {
    if (url.includes('slack') || tries === 1) throw new Error('it answered 503');
  });
  notifier.tell(NEWS);
  await notifier.settled();
  t.equal(posted.length, 4 + 2);
  t.same(
    slept.sort((one, other) => one - other),
    [500, 500, 2000, 5000],
  );
  t.same(told, ['slack was not told: it answered 503']);
});

t.test('a webhook is a POST of JSON', async (t) => {
  const got: unknown[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += String(chunk);
    });
    request.on('end', () => {
      got.push([request.method, request.headers['content-type'], body]);
      response.statusCode = got.length === 1 ? 200 : 500;
      response.end();
    });
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await postJson(url, '{"a":1}');
  t.same(got, [['POST', 'application/json', '{"a":1}']]);
  await t.rejects(postJson(url, '{}'), { message: 'it answered 500' });
});
