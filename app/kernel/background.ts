/**
 * Work that is done again and again beside the service. It owns its errors: who asked for it is told when they begin and when
 * they are over, and it is tried again the next time.
 */

import type { Clock } from './clock.ts';

export interface Background {
  /** From now on nothing is begun; resolves when what is under way is done. */
  close(): Promise<void>;
}

export interface BackgroundOptions {
  readonly clock: Clock;
  /** The pause between two times. */
  readonly everyMs: number;
  /** Ends soon after `isOver` says so. */
  readonly work: (isOver: () => boolean) => Promise<void>;
  /** Told once for as many failures as come in a row. */
  readonly onFailed: (error: unknown) => void;
  readonly onRecovered: () => void;
}

export function startBackground(options: BackgroundOptions): Background {
  const { clock, everyMs, work, onFailed, onRecovered } = options;
  let isClosing = false;
  let isFailing = false;
  let working: Promise<void> = Promise.resolve();

  async function workOnce(): Promise<void> {
    try {
      await work(() => isClosing);
      if (isFailing) onRecovered();
      isFailing = false;
    } catch (error) {
      if (!isFailing) onFailed(error);
      isFailing = true;
    }
  }

  async function run(): Promise<void> {
    for (await clock.sleep(everyMs); !isClosing; await clock.sleep(everyMs)) {
      working = workOnce();
      await working;
    }
  }

  void run();
  return {
    async close() {
      isClosing = true;
      // It may never wake up again: a sleep is not waited for.
      await working;
    },
  };
}
