/**
 * The figures of one process in Prometheus form. Label sets are closed: a client chooses none of their values.
 */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { createTalliedHistogram, type TalliedHistogram } from './histogram.ts';

export interface Metrics {
  readonly registry: Registry;
  /** Notes down an answered request. */
  countRequest(request: { route: string; method: string; status: number }): void;
  readonly requestDuration: TalliedHistogram;
  readonly redirectDuration: TalliedHistogram;
  /** From the transaction of a turn's clicks begun to it committed, busy tries aside. */
  readonly clickCommitDuration: TalliedHistogram;
  readonly clickCommitSize: TalliedHistogram;
  readonly connectionsDropped: Counter;
}

/** Seconds, from what memory takes to what a disk takes. */
const COMMIT_EDGES = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];
const SIZE_EDGES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

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
    requestDuration: createTalliedHistogram({
      name: 'http_request_duration_seconds',
      help: 'From the headers of a request read to its answer written, by route.',
      registry,
    }),
    redirectDuration: createTalliedHistogram({
      name: 'fleetlink_redirect_duration_seconds',
      help: 'Time from the request to its redirect, of those that were redirected.',
      registry,
    }),
    clickCommitDuration: createTalliedHistogram({
      name: 'fleetlink_click_commit_duration_seconds',
      help: 'How long the transaction of the clicks of a turn took.',
      registry,
      edges: COMMIT_EDGES,
    }),
    clickCommitSize: createTalliedHistogram({
      name: 'fleetlink_click_commit_size',
      help: 'Redirects that shared a transaction.',
      registry,
      edges: SIZE_EDGES,
    }),
    connectionsDropped: new Counter({
      name: 'fleetlink_connections_dropped_total',
      help: 'Connections refused because too many were open.',
      registers: [registry],
    }),
  };
}

/** Tallied in maps and handed to prom-client when somebody asks, for the reason given in histogram.ts. */
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
