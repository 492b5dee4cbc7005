/**
 * Long work beside a service that must answer meanwhile: a portion, a pause, the next portion. How long the pause is depends
 * on how much the service has to do: what is beside it can wait, and people who follow links cannot.
 */

import type { Clock } from './clock.ts';

/** After a portion: resolves when the next one may begin. */
export type Pause = () => Promise<void>;

export interface Pacer {
  /** For one piece of work, whose first portion begins now. Once `isOver` a pause is a turn of the event loop. */
  begin(isOver: () => boolean): Pause;
}

export interface PacerDeps {
  readonly clock: Clock;
  /** For how long the event loop was at work since the process began, and for how long it was not, in milliseconds. */
  readonly readLoop: () => { readonly active: number; readonly idle: number };
}

/** A fifth of the time is work, and a twentieth while the event loop is busy for more than half of it. */
const REST_PER_WORK = 4;
const REST_PER_WORK_WHEN_BUSY = 19;
const BUSY = 0.5;

export function createPacer({ clock, readLoop }: PacerDeps): Pacer {
  return {
    begin(isOver) {
      let resumedMs = clock.monotonicMs();
      let loop = readLoop();

      function isBusy(): boolean {
        const before = loop;
        loop = readLoop();
        const activeMs = loop.active - before.active;
        return activeMs > BUSY * (activeMs + loop.idle - before.idle);
      }

      return async () => {
        const workedMs = clock.monotonicMs() - resumedMs;
        if (workedMs === 0 || isOver()) await nextTurn();
        else await clock.sleep(workedMs * (isBusy() ? REST_PER_WORK_WHEN_BUSY : REST_PER_WORK));
        resumedMs = clock.monotonicMs();
      };
    },
  };
}

/** Calls `step` until it answers that nothing is left; work ends after the portion in which `isOver` becomes true. */
export async function inPortions(
  step: () => Promise<boolean>,
  { pacer, isOver }: { readonly pacer: Pacer; readonly isOver: () => boolean },
): Promise<void> {
  const pause = pacer.begin(isOver);
  while (!isOver() && (await step())) await pause();
}

/** Lets everything that waits have its turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
