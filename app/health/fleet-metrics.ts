/** What a host of a fleet tells of itself and the shared database, in Prometheus form: read when somebody asks. */

import { Gauge, type Registry } from 'prom-client';
import { BREAKER_STATES, type BreakerState } from '../kernel/breaker.ts';

export interface FleetFigures {
  /** Of the circuit to the shared database. */
  readState(): BreakerState;
  /** Since when every change of links is known here; infinite: not since the start. */
  readAgeMs(): number;
  /** Clicks of this host that are not in the shared database. Throws while they cannot be counted. */
  countUnshipped(): Promise<number>;
}

export function registerFleet(
  registry: Registry,
  { readState, readAgeMs, countUnshipped }: FleetFigures,
): void {
  const registers = [registry];
  new Gauge({
    name: 'fleetlink_database_circuit',
    help: '1 for the state of the circuit to the shared database: closed, open (nobody asks for a while) or half_open (one does).',
    labelNames: ['state'],
    registers,
    collect() {
      const now = readState();
      for (const state of BREAKER_STATES) this.set({ state }, state === now ? 1 : 0);
    },
  });
  new Gauge({
    name: 'fleetlink_copy_age_seconds',
    help: 'How long ago the copy of the links on this host was known to have every change.',
    registers,
    collect() {
      this.set(readAgeMs() / 1000);
    },
  });
  new Gauge({
    name: 'fleetlink_clicks_unshipped',
    help: 'Clicks on this host that are not in the shared database yet; not a number while they cannot be counted.',
    registers,
    async collect() {
      this.set(await countUnshipped().catch(() => Number.NaN));
    },
  });
}
