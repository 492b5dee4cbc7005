/** Who is connected, in Prometheus form. */

import { Gauge, type Registry } from 'prom-client';

export function registerConnections(registry: Registry, countConnections: () => number): void {
  new Gauge({
    name: 'fleetlink_connections',
    help: 'Open connections on the port of redirects and API.',
    registers: [registry],
    collect() {
      this.set(countConnections());
    },
  });
}
