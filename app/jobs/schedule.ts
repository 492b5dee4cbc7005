/** Work that is done at hours of the day, UTC. A job that is still at work is not begun again. */

import { schedule } from 'node-cron';

export interface Job {
  readonly name: string;
  /** A cron expression, such as `5 0 * * *`. */
  readonly at: string;
  /** Ends soon after `isOver` says so. */
  readonly run: (isOver: () => boolean) => Promise<void>;
}

export interface Schedule {
  /** From now on nothing is begun; resolves when what is under way is done. */
  close(): Promise<void>;
}

export interface ScheduleDeps {
  readonly onFailed: (name: string, error: unknown) => void;
}

/** It would write to the console, between our own lines. */
const silent = () => undefined;
const logger = { info: silent, warn: silent, error: silent, debug: silent };

export function startSchedule(jobs: readonly Job[], { onFailed }: ScheduleDeps): Schedule {
  let isClosing = false;
  const running = new Set<Promise<void>>();

  async function runJob({ name, run }: Job): Promise<void> {
    const work = run(() => isClosing).catch((error: unknown) => onFailed(name, error));
    running.add(work);
    await work;
    running.delete(work);
  }

  const tasks = jobs.map((job) =>
    schedule(job.at, () => runJob(job), {
      name: job.name,
      timezone: 'UTC',
      noOverlap: true,
      logger,
      suppressMissedWarning: true,
      unref: true,
    }),
  );
  return {
    async close() {
      isClosing = true;
      for (const task of tasks) await task.destroy();
      await Promise.all(running);
    },
  };
}
