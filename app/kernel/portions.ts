/** Long work beside a service that must answer meanwhile: a portion, a rest, the next portion. */

import type { Clock } from './clock.ts';

export interface PortionOptions {
  readonly clock: Clock;
  /** Work ends after the portion in which this becomes true. */
  readonly isOver: () => boolean;
}

/** A fifth of the time is work. */
const REST_PER_WORK = 4;

/** Calls `step` until it answers that nothing is left. */
export async function inPortions(step: () => Promise<boolean>, options: PortionOptions): Promise<void> {
  const { clock, isOver } = options;
  while (!isOver()) {
    const startedMs = clock.monotonicMs();
    const isMoreLeft = await step();
    if (!isMoreLeft) return;
    const tookMs = clock.monotonicMs() - startedMs;
    if (tookMs > 0) await clock.sleep(tookMs * REST_PER_WORK);
    else await nextTurn();
  }
}

/** Lets everything that waits have its turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
