/**
 * Reads that take many turns of the event loop, as statistics do. One by itself leaves redirects a turn after each of its
 * portions; a hundred at once would put a hundred portions into each turn. So few run at a time, and the others wait.
 */

import createLimit from 'p-limit';
import { AppError } from '../kernel/errors.ts';

export interface LongReads {
  /**
   * Runs `read` once its turn has come; null: nobody wants it by then. Rejects with AppError unavailable when too many wait.
   */
  run<T>(read: () => Promise<T>, isWanted: () => boolean): Promise<T | null>;
  /** Each piece is made once its turn has come. The first one throws AppError unavailable when too many are being read. */
  inPieces(pieces: AsyncIterable<string>): AsyncGenerator<string>;
}

/** A short one need not wait for a long one. */
const AT_ONCE_MAX = 2;
/** Some 10 seconds of waiting. */
export const WAITING_MAX = 50;
/** A piece of each may wait before whoever comes next. */
export const STREAMS_MAX = 10;

export function createLongReads(): LongReads {
  const limit = createLimit(AT_ONCE_MAX);
  let waiting = 0;
  let streams = 0;

  function requireRoom(count: number, max: number): void {
    if (count < max) return;
    const message = 'Too many statistics, lists or exports are being read. Try again in a moment.';
    throw new AppError('unavailable', message, { retryAfterSeconds: 1 });
  }

  return {
    async run(read, isWanted) {
      requireRoom(waiting, WAITING_MAX);
      waiting++;
      return limit(() => {
        waiting--;
        return isWanted() ? read() : null;
      });
    },

    async *inPieces(pieces) {
      requireRoom(streams, STREAMS_MAX);
      streams++;
      const iterator = pieces[Symbol.asyncIterator]();
      try {
        for (;;) {
          const piece = await limit(() => iterator.next());
          if (piece.done === true) return;
          yield piece.value;
        }
      } finally {
        streams--;
        await iterator.return?.();
      }
    },
  };
}
