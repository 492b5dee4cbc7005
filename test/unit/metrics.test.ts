import t from 'tap';
import { createMetrics } from '../../app/health/metrics.ts';

t.test('the names and labels are those that dashboards ask for', async (t) => {
  const { registry, countRequest, requestDuration, redirectDuration, connectionsDropped } = createMetrics({
    release: 'r1',
    pid: 7,
  });
  countRequest({ route: '/{key}', method: 'GET', status: 302 });
  countRequest({ route: '/{key}', method: 'GET', status: 302 });
  await registry.metrics();
  countRequest({ route: '/{key}', method: 'GET', status: 302 });
  requestDuration.observe(0.15, '/{key}');
  redirectDuration.observe(0.2);
  redirectDuration.observe(0.21);
  redirectDuration.observe(11);
  connectionsDropped.inc();
  const text = await registry.metrics();
  const lines = text.split('\n').filter((line) => /^(?:fleetlink|http)_/.test(line));
  t.ok(lines.includes('fleetlink_process_info{release="r1",pid="7"} 1'));
  t.ok(lines.includes('http_requests_total{route="/{key}",method="GET",status="302"} 3'));
  t.ok(lines.includes('http_request_duration_seconds_bucket{le="0.1",route="/{key}"} 0'));
  t.ok(lines.includes('http_request_duration_seconds_bucket{le="0.2",route="/{key}"} 1'));
  t.ok(
    lines.includes('fleetlink_redirect_duration_seconds_bucket{le="0.2"} 1'),
    'the edge at 0.2 s is inside',
  );
  t.ok(lines.includes('fleetlink_redirect_duration_seconds_count 3'));
  t.ok(lines.includes('fleetlink_redirect_duration_seconds_bucket{le="10"} 2'));
  t.ok(lines.includes('fleetlink_redirect_duration_seconds_bucket{le="+Inf"} 3'));
  t.ok(lines.includes('fleetlink_redirect_duration_seconds_sum 11.41'));
  t.ok(lines.includes('fleetlink_connections_dropped_total 1'));
  t.match(text, /^process_cpu_seconds_total /m);
});

t.test('two services in one process have figures of their own', async (t) => {
  const [a, b] = [createMetrics({ release: 'a', pid: 1 }), createMetrics({ release: 'b', pid: 1 })];
  a.connectionsDropped.inc();
  t.match(await b.registry.metrics(), /^fleetlink_connections_dropped_total 0$/m);
});
