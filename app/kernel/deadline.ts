/** Waiting for something, but not for ever. */

import type { Clock } from './clock.ts';

/** Rejects with what `late` makes when `work` takes longer; it goes on, and nobody hears of it any more. */
export function within<T>(
  work: Promise<T>,
  { clock, ms, late }: { readonly clock: Clock; readonly ms: number; readonly late: () => Error },
): Promise<T> {
  work.catch(() => undefined);
  return Promise.race([
    work,
    clock.sleep(ms).then((): never => {
      throw late();
    }),
  ]);
}
