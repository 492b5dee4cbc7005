/**
 * Keeps a host's copy of the links up to date: asks the shared database for changes every second, and at once when somebody
 * wants to be sure. Its age is counted from the beginning of the last question whose answer reached the end.
 */

import type { Clock } from '../kernel/clock.ts';
import { shareRuns } from '../kernel/share-runs.ts';
import type { ChangeFeed, LinkCopy } from './link-copy.ts';

export interface Follower {
  /** Resolves when everything that was committed before the call is in the copy. Throws what the database throws. */
  catchUp(): Promise<void>;
  /** Milliseconds since the copy was known to have every change; infinite before the first time. */
  ageMs(): number;
}

export interface FollowerDeps {
  readonly clock: Clock;
  readonly copy: Pick<LinkCopy, 'readMark' | 'write' | 'clear'>;
  readonly feed: Pick<ChangeFeed, 'readChanges' | 'readEnd'>;
  /** Told when the database is another one than the copy's, or knows fewer changes: a standby that missed some. */
  readonly onOtherDatabase: () => void;
}

export function createFollower({ clock, copy, feed, onOtherDatabase }: FollowerDeps): Follower {
  let wholeAtMs = Number.NEGATIVE_INFINITY;

  /** A new copy begins at the end: what was before is filled in beside, or asked for key by key. */
  async function begin(): Promise<number> {
    const { last, database } = await feed.readEnd();
    await copy.write([], { position: last, database });
    return last;
  }

  /** Before the question: what this host itself changes meanwhile, its answer need not know. */
  async function readPlace(): Promise<{ from: number; newest: number; of: number | null }> {
    const from = (await copy.readMark('position')) ?? (await begin());
    const newest = (await copy.readMark('newest')) ?? 0;
    return { from, newest: Math.max(from, newest), of: await copy.readMark('database') };
  }

  async function follow(): Promise<void> {
    for (;;) {
      const askedAtMs = clock.monotonicMs();
      const { from, newest, of } = await readPlace();
      const { states, upTo, last, isEnd, database } = await feed.readChanges(from);
      if (last < newest || database !== of) {
        onOtherDatabase();
        await copy.clear();
        continue;
      }
      if (upTo > from) await copy.write(states, { position: upTo });
      if (!isEnd) continue;
      wholeAtMs = askedAtMs;
      return;
    }
  }

  return {
    catchUp: shareRuns(follow),
    ageMs: () => clock.monotonicMs() - wholeAtMs,
  };
}
