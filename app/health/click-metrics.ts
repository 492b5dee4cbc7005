/** The ledger of clicks in Prometheus form: read when somebody asks, so that a redirect pays for its own additions only. */

import { Counter, Gauge, type Registry } from 'prom-client';
import { createTalliedHistogram } from './histogram.ts';

/** Each figure but `pending` only grows. */
export interface LedgerReading {
  readonly served: number;
  readonly counted: Readonly<Record<string, number>>;
  readonly excluded: Readonly<Record<string, number>>;
  readonly pending: number;
  readonly dropped: number;
}

/** All figures of one answer are of one moment, so that they balance: `served = counted + excluded + pending + dropped`. */
export function registerLedger(registry: Registry, read: () => LedgerReading): void {
  const registers = [registry];
  // The first of them that is asked reads all.
  new Counter({
    name: 'fleetlink_clicks_served_total',
    help: 'Redirects that were answered.',
    registers,
    collect() {
      const ledger = read();
      set(this, ledger.served);
      set(dropped, ledger.dropped);
      setByReason(counted, ledger.counted);
      setByReason(excluded, ledger.excluded);
      pending.set(ledger.pending);
    },
  });
  const counted = new Counter({
    name: 'fleetlink_clicks_counted_total',
    help: 'Served clicks that are stored, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const excluded = new Counter({
    name: 'fleetlink_clicks_excluded_total',
    help: 'Served clicks that are not stored, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const dropped = new Counter({
    name: 'fleetlink_clicks_dropped_total',
    help: 'Served clicks that are lost.',
    registers,
  });
  const pending = new Gauge({
    name: 'fleetlink_clicks_pending',
    help: 'Served clicks that wait for the disk.',
    registers,
  });
}

export interface UncountedDeps {
  readonly nowMs: () => number;
  /** When the oldest click was made that is stored and not counted yet; null: all are. */
  readonly findOldestWaitingMs: () => Promise<number | null>;
}

/** Of all processes that share the database; not a number while it cannot be read. */
export function registerUncounted(registry: Registry, { nowMs, findOldestWaitingMs }: UncountedDeps): void {
  new Gauge({
    name: 'fleetlink_clicks_uncounted_seconds',
    help: 'Age of the oldest click that is stored and that statistics do not know yet; 0: they know all.',
    registers: [registry],
    async collect() {
      const oldestMs = await findOldestWaitingMs().catch(() => Number.NaN);
      this.set(oldestMs === null ? 0 : Math.max(0, nowMs() - oldestMs) / 1000);
    },
  });
}

export interface ClickWaits {
  observe(ms: number): void;
  maxMs(): number;
}

/** How long the clicks of a turn waited for another process that wrote, of those that did. */
export function createClickWaits(registry: Registry): ClickWaits {
  const histogram = createTalliedHistogram({
    name: 'fleetlink_click_wait_seconds',
    help: 'How long turns of clicks waited for another process that wrote, of those that did.',
    registry,
  });
  let maxMs = 0;
  return {
    observe(ms) {
      histogram.observe(ms / 1000);
      maxMs = Math.max(maxMs, ms);
    },
    maxMs: () => maxMs,
  };
}

function set(counter: Counter, value: number): void {
  counter.reset();
  counter.inc(value);
}

function setByReason(counter: Counter<'reason'>, values: Readonly<Record<string, number>>): void {
  counter.reset();
  for (const [reason, value] of Object.entries(values)) counter.inc({ reason }, value);
}
