/** How redirects found their links, in Prometheus form. */

import { Counter, type Registry } from 'prom-client';

export interface LookupFigures {
  /** Without reading the database. */
  readonly remembered: number;
  readonly read: number;
}

export function registerLookups(registry: Registry, readFigures: () => LookupFigures): void {
  new Counter({
    name: 'fleetlink_link_lookups_total',
    help: 'Links that were looked up for a redirect: remembered, or read from the database.',
    labelNames: ['from'],
    registers: [registry],
    collect() {
      const { remembered, read } = readFigures();
      this.reset();
      this.inc({ from: 'memory' }, remembered);
      this.inc({ from: 'database' }, read);
    },
  });
}
