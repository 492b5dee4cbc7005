/**
 * Group commit: calls that arrive in one turn of the event loop share one transaction, and so one disk sync. Each call is
 * answered after the commit. A call that fails is undone and rejected alone; only when the transaction fails, all are.
 *
 *   run(work) ── queue ──▶ setImmediate ──▶ begin · work · work · … · in place? · commit · in place? ──▶ answers
 *
 * A call waits while another process holds the write lock (retried by the dialect's transaction). At most
 * `QUEUE_WEIGHT_MAX` commands wait, each for `WAIT_MS_MAX`; what is beyond is refused, counted by the 503 it becomes. A
 * transaction begins no call after `GROUP_MS_MAX`: each statement may take a second to a database that is far away or slow.
 */

import { type Kysely, sql } from 'kysely';
import type { Clock } from '../kernel/clock.ts';
import { AppError } from '../kernel/errors.ts';
import { nextTurn } from '../kernel/portions.ts';
import type { Dialect } from './dialect.ts';
import type { Tables } from './tables.ts';

/** Commands that may wait: 20 full batches, some seconds of work. */
const QUEUE_WEIGHT_MAX = 20_000;
/** Commands of one commit, unless a single call has more: it bounds how long redirects wait behind a commit. */
const GROUP_WEIGHT_MAX = 200;

/** More than 20,000 commands in full batches take. */
const WAIT_MS_MAX = 10_000;
/** Those who wait for a transaction are all calls in it, and other hosts. */
const GROUP_MS_MAX = 1000;

interface Call {
  readonly weight: number;
  readonly sinceMs: number;
  run(connection: Kysely<Tables>): Promise<void>;
  /** Without effect on a call that was rejected. */
  settle(): void;
  reject(error: unknown): void;
}

export interface GroupCommit {
  /**
   * Runs `work` inside the next shared transaction, in a savepoint of its own; resolves once it is committed. `weight`
   * counts its commands. `undo` takes back all that it did so far.
   */
  run<T>(
    weight: number,
    work: (connection: Kysely<Tables>, undo: () => Promise<unknown>) => Promise<T>,
  ): Promise<T>;
  /** Resolves once everything that waited is committed. Calls after it are refused. */
  close(): Promise<void>;
}

export interface GroupCommitDeps {
  readonly clock: Clock;
  readonly dialect: Dialect;
  /** Throws an AppError where what is committed would be lost with this process. */
  readonly requireInPlace: () => void;
  /** Called after each commit; everybody who waits for it is told of it after that, whatever becomes of it. */
  readonly onCommitted: () => void | Promise<void>;
}

export function createGroupCommit(db: Kysely<Tables>, deps: GroupCommitDeps): GroupCommit {
  const { clock, dialect, requireInPlace, onCommitted } = deps;
  let queue: Call[] = [];
  let queuedWeight = 0;
  let committing: Promise<void> | null = null;
  let isClosed = false;

  function schedule(): void {
    if (committing !== null || queue.length === 0) return;
    committing = nextTurn()
      .then(commitGroup)
      .finally(() => {
        committing = null;
        schedule();
      });
  }

  async function commitGroup(): Promise<void> {
    refuseLate();
    let group = takeGroup();
    if (group.length === 0) return;
    try {
      await dialect.transaction(db, async (connection) => {
        const startedMs = clock.monotonicMs();
        const isTimeLeft = (): boolean => clock.monotonicMs() - startedMs < GROUP_MS_MAX;
        let begun = 0;
        for (const call of group) {
          if (begun > 0 && !isTimeLeft()) break;
          begun++;
          await runCall(connection, call);
        }
        putBack(group.slice(begun));
        group = group.slice(0, begun);
        // Before the commit, so that what is refused does not come back with a file that is put back.
        requireInPlace();
      });
      // And after it, because the file may have gone meanwhile: what is acknowledged is in the one that is in place.
      requireInPlace();
    } catch (error) {
      const translated = dialect.translateError(error);
      for (const call of group) call.reject(translated);
      return;
    }
    try {
      await onCommitted();
    } finally {
      for (const call of group) call.settle();
    }
    await dialect.afterCommit(db);
  }

  async function runCall(connection: Kysely<Tables>, call: Call): Promise<void> {
    await sql`savepoint call`.execute(connection);
    try {
      await call.run(connection);
    } catch (error) {
      const isAlone = await dialect.undoTo(connection, 'call');
      if (!isAlone) throw error;
      call.reject(dialect.translateError(error));
    }
    await sql`release savepoint call`.execute(connection);
  }

  function refuseLate(): void {
    const sinceMs = clock.monotonicMs() - WAIT_MS_MAX;
    // They are in the order in which they came.
    while (queue[0] !== undefined && queue[0].sinceMs < sinceMs) {
      const [late] = queue.splice(0, 1) as [Call];
      queuedWeight -= late.weight;
      late.reject(tooMany());
    }
  }

  function putBack(calls: readonly Call[]): void {
    queue = [...calls, ...queue];
    queuedWeight += calls.reduce((sum, { weight }) => sum + weight, 0);
  }

  function takeGroup(): Call[] {
    let count = 0;
    let weight = 0;
    for (const call of queue) {
      if (count > 0 && weight + call.weight > GROUP_WEIGHT_MAX) break;
      weight += call.weight;
      count++;
    }
    const group = queue.slice(0, count);
    queue = queue.slice(count);
    queuedWeight -= weight;
    return group;
  }

  return {
    run<T>(
      weight: number,
      work: (connection: Kysely<Tables>, undo: () => Promise<unknown>) => Promise<T>,
    ): Promise<T> {
      if (isClosed || queuedWeight + weight > QUEUE_WEIGHT_MAX) return Promise.reject(tooMany());
      return new Promise<T>((resolve, reject) => {
        let result: T;
        queue.push({
          weight,
          sinceMs: clock.monotonicMs(),
          run: async (connection) => {
            const undo = () => sql`rollback to savepoint call`.execute(connection);
            result = await work(connection, undo);
          },
          settle: () => resolve(result),
          reject,
        });
        queuedWeight += weight;
        schedule();
      });
    },

    async close() {
      isClosed = true;
      while (committing !== null) await committing;
    },
  };
}

function tooMany(): AppError {
  const message = 'Too many writes are waiting for the database. Try again in a moment.';
  return new AppError('unavailable', message, { retryAfterSeconds: 1 });
}
