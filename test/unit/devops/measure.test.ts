// What a host reads of its service's figures.
import t from 'tap';
import { registerConnections } from '../../../app/health/connection-metric.ts';
import { createMetrics } from '../../../app/health/metrics.ts';
import { REDIRECT_ROUTE } from '../../../app/http/redirect-lane.ts';
import { parseConnections, parseCounters, parseFigures } from '../../../devops/host/measure.ts';

t.test('requests, errors and slow redirects are read as the service writes them', async (t) => {
  const metrics = createMetrics({ release: 'r1', pid: 42 });
  const answer = (route: string, status: number, seconds: number) => {
    metrics.countRequest({ route, method: 'GET', status });
    metrics.requestDuration.observe(seconds, route);
  };
  for (const seconds of [0.001, 0.4, 0.6, 3]) answer(REDIRECT_ROUTE, 302, seconds);
  answer(REDIRECT_ROUTE, 503, 0.01);
  answer('/api/v1/links', 500, 9);
  answer('/api/v1/links', 404, 0.01);
  for (const route of ['/readyz', '/metrics', '/healthz', '/drain']) answer(route, 503, 2);
  const text = await metrics.registry.metrics();
  t.same(parseCounters(text, 500), { pid: 42, requests: 7, errors: 2, redirects: 5, slow: 2 });
  t.equal(parseCounters(text, 1000).slow, 1);
  t.match(parseCounters('', 500), { requests: 0, errors: 0, redirects: 0, slow: 0 });
});

t.test('who is connected is read as the service writes it, and an older one does not say', async (t) => {
  const { registry } = createMetrics({ release: 'r1', pid: 42 });
  t.equal(parseConnections(await registry.metrics()), null);
  let open = 3;
  registerConnections(registry, () => open);
  t.equal(parseConnections(await registry.metrics()), 3);
  open = 0;
  t.equal(parseConnections(await registry.metrics()), 0);
});

t.test('and so are the edges of its histogram', async (t) => {
  const metrics = createMetrics({ release: 'r1', pid: 42 });
  for (const seconds of [0.001, 0.4, 20]) metrics.requestDuration.observe(seconds, REDIRECT_ROUTE);
  const { redirects } = parseFigures(await metrics.registry.metrics());
  t.same(
    redirects.find(({ upToMs }) => upToMs === 200),
    { upToMs: 200, count: 1 },
  );
  t.same(
    redirects.find(({ upToMs }) => upToMs === 500),
    { upToMs: 500, count: 2 },
  );
  t.same(redirects.at(-1), { upToMs: Number.MAX_SAFE_INTEGER, count: 3 });
});
