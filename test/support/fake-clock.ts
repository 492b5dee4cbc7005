/** A clock whose hands a test holds. `sleep` ends when `advance` has moved past it. */

import type { Clock } from '../../app/kernel/clock.ts';

export interface FakeClock extends Clock {
  advance(ms: number): Promise<void>;
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 31, 12)): FakeClock {
  let nowMs = startMs;
  let sleepers: { readonly untilMs: number; readonly wake: () => void }[] = [];
  return {
    nowMs: () => nowMs,
    sleep: (ms) =>
      new Promise((resolve) => {
        sleepers.push({ untilMs: nowMs + ms, wake: resolve });
      }),
    async advance(ms) {
      nowMs += ms;
      const due = sleepers.filter(({ untilMs }) => untilMs <= nowMs);
      sleepers = sleepers.filter(({ untilMs }) => untilMs > nowMs);
      for (const { wake } of due) wake();
      // Whoever was woken runs before the test goes on.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
