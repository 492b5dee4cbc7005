/** How far the books of clicks are wrong, in Prometheus form. */

import { Gauge, type Registry } from 'prom-client';

export function registerDrift(registry: Registry, readDrift: () => number): void {
  new Gauge({
    name: 'fleetlink_ledger_drift',
    help: 'Clicks by which the books are wrong, as far as is known; 0: they are right.',
    registers: [registry],
    collect() {
      this.set(readDrift());
    },
  });
}
