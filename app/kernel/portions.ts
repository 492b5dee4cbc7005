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
  /** How many times as long as a portion the pause is while the event loop has nothing else to do. */
  readonly restPerWork?: number;
}

/** Work takes a fifth of the time that the event loop has left, and about a hundredth of all where it has none. */
const REST_PER_WORK = 4;
const REST_PER_WORK_MAX = 99;
/** A portion may have waited for others, which is no work; and who ends waits for a pause. */
const PAUSE_MS_MAX = 500;

export function createPacer({ clock, readLoop, restPerWork = REST_PER_WORK }: PacerDeps): Pacer {
  return {
    begin(isOver) {
      let resumedMs = clock.monotonicMs();
      let loop = readLoop();

      function readRestPerWork(): number {
        const before = loop;
        loop = readLoop();
        const idleMs = loop.idle - before.idle;
        const allMs = idleMs + loop.active - before.active;
        return allMs === 0 ? restPerWork : Math.min((restPerWork * allMs) / idleMs, REST_PER_WORK_MAX);
      }

      return async () => {
        const workedMs = clock.monotonicMs() - resumedMs;
        if (workedMs === 0 || isOver()) await nextTurn();
        else await clock.sleep(Math.min(workedMs * readRestPerWork(), PAUSE_MS_MAX));
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
  // Whoever has much work of one portion each must not do all of it in one turn.
  await nextTurn();
}

/** Lets everything that waits have its turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
