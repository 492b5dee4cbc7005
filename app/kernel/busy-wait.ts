/** The pause before a lock is asked for again that another process holds for some milliseconds. */

import type { Clock } from './clock.ts';

/** A growing wait starves one of two writers (measured: 232 ms); about 1 ms with jitter does not. */
const BUSY_WAIT_MS = 1;

/** `random` is in [0, 1). */
export function waitForLock(clock: Clock, random: () => number): Promise<void> {
  return clock.sleep(BUSY_WAIT_MS * (0.5 + random()));
}
