/** A clock whose hands a test holds. `sleep` ends when `advance` has moved past it. */

import type { Clock } from '../../app/kernel/clock.ts';

export interface FakeClock extends Clock {
  /** Lets time pass, on both hands. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock forward, or back, as an operator may; no time passes. */
  moveWall(ms: number): void;
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 31, 12)): FakeClock {
  let wallMs = startMs;
  // Unlike any time on the wall, so that whoever mixes the two is found out.
  let monotonicMs = 7000;
  let sleepers: { readonly untilMs: number; readonly wake: () => void }[] = [];
  return {
    nowMs: () => wallMs,
    monotonicMs: () => monotonicMs,
    sleep: (ms) =>
      new Promise((resolve) => {
        sleepers.push({ untilMs: monotonicMs + ms, wake: resolve });
      }),
    async advance(ms) {
      wallMs += ms;
      monotonicMs += ms;
      const due = sleepers.filter(({ untilMs }) => untilMs <= monotonicMs);
      sleepers = sleepers.filter(({ untilMs }) => untilMs > monotonicMs);
      for (const { wake } of due) wake();
      // Whoever was woken runs before the test goes on.
      await new Promise((resolve) => setImmediate(resolve));
    },
    moveWall(ms) {
      wallMs += ms;
    },
  };
}
