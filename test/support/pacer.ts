/** A pacer on a test's clock whose event loop has nothing else to do. */

import type { Clock } from '../../app/kernel/clock.ts';
import { createPacer, type Pacer } from '../../app/kernel/portions.ts';

export function createIdlePacer(clock: Clock): Pacer {
  return createPacer({ clock, readLoop: () => ({ active: 0, idle: clock.monotonicMs() }) });
}
