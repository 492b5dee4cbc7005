/**
 * The figures of one process in Prometheus form. Label sets are closed: a client chooses none of their values.
 */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { createDurationHistogram, type DurationHistogram } from './duration-histogram.ts';

export interface Metrics {
  readonly registry: Registry;
  /** Notes down an answered request. */
  countRequest(request: { route: string; method: string; status: number }): void;
  readonly requestDuration: DurationHistogram;
  readonly redirectDuration: DurationHistogram;
  readonly connectionsDropped: Counter;
}

/** `release` and `pid` tell which process answered: two share the port during a reload. */
export function createMetrics({ release, pid }: { release: string; pid: number }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const info = new Gauge({
    name: 'fleetlink_process_info',
    help: 'Always 1; the labels name the release and the process.',
    labelNames: ['release', 'pid'],
    registers: [registry],
  });
  info.set({ release, pid: String(pid) }, 1);
  return {
    registry,
    countRequest: createRequestCounter(registry),
    requestDuration: createDurationHistogram({
      name: 'http_request_duration_seconds',
      help: 'From the headers of a request read to its answer written, by route.',
      registry,
    }),
    redirectDuration: createDurationHistogram({
      name: 'fleetlink_redirect_duration_seconds',
      help: 'The same for redirects alone.',
      registry,
    }),
    connectionsDropped: new Counter({
      name: 'fleetlink_connections_dropped_total',
      help: 'Connections refused because too many were open.',
      registers: [registry],
    }),
  };
}

/** Tallied in maps and handed to prom-client when somebody asks, for the reason given in duration-histogram.ts. */
function createRequestCounter(registry: Registry): Metrics['countRequest'] {
  const tally = new Map<string, Map<string, Map<number, number>>>();
  new Counter({
    name: 'http_requests_total',
    help: 'Answered requests by route, method and status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
    collect() {
      for (const [route, methods] of tally) {
        for (const [method, statuses] of methods) {
          for (const [status, count] of statuses) this.inc({ route, method, status }, count);
        }
      }
      tally.clear();
    },
  });
  return ({ route, method, status }) => {
    const statuses = open(open(tally, route), method);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
}

function open<K, V>(map: Map<string, Map<K, V>>, key: string): Map<K, V> {
  let inner = map.get(key);
  if (inner === undefined) {
    inner = new Map();
    map.set(key, inner);
  }
  return inner;
}
