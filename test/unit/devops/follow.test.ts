// The link of the smoke test, followed through whatever stands in front of the hosts.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { follow, followAgain, isFollowed } from '../../../devops/roll/follow.ts';

async function serve(t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/fleetlink-smoke`;
}

t.test('a link that leads on is followed, without a click', async (t) => {
  const asked: string[] = [];
  const link = await serve(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(302, { location: 'https://example.com/' }).end();
  });
  t.match(await follow(link), { link, status: 302 });
  t.equal(await isFollowed({ BASE_URL: new URL(link).origin }), true);
  t.same(asked, ['HEAD /fleetlink-smoke', 'HEAD /fleetlink-smoke']);
  t.equal(await isFollowed({}), false);
});

t.test('what was never followed need not be', async (t) => {
  const link = await serve(t, (_request, response) => response.writeHead(404).end());
  t.equal(await followAgain(link, { host: 'h1', wasFollowed: false }), null);
  t.equal(await followAgain('http://127.0.0.1:1/x', { host: 'h1', wasFollowed: false }), null);
});

t.test('what was is waited for, and then a failure', async (t) => {
  let asked = 0;
  const link = await serve(t, (_request, response) => {
    asked++;
    response.writeHead(asked < 3 ? 503 : 302, { location: 'https://example.com/' }).end();
  });
  t.match(await followAgain(link, { host: 'h1', wasFollowed: true }), { status: 302 });
  t.equal(asked, 3);
  const gone = await serve(t, (_request, response) => response.writeHead(503).end());
  await t.rejects(followAgain(gone, { host: 'h1', wasFollowed: true, withinMs: 300 }), {
    name: 'HostFailure',
    host: 'h1',
    code: 'unhealthy',
    message: /could be followed from here before this deploy, and not within 0\.3 s now/,
  });
});
