/**
 * Keeps a host's copy of the links up to date: asks the shared database for changes every second, and at once when somebody
 * wants to be sure. Its age is counted from the beginning of the last question whose answer reached the end.
 */

import type { Clock } from '../kernel/clock.ts';
import { shareRuns } from '../kernel/share-runs.ts';
import { type ChangeFeed, type History, isSameHistory, type LinkCopy, NO_HISTORY } from './link-copy.ts';

export interface Follower {
  /** Resolves when everything that was committed before the call is in the copy. Throws what the database throws. */
  catchUp(): Promise<void>;
  /** Milliseconds since the copy was known to have every change; infinite before the first time. */
  ageMs(): number;
  /** Milliseconds since the database answered, whatever became of the answer. */
  silentMs(): number;
  /** What this process has heard of last. */
  history(): History;
}

export interface FollowerDeps {
  readonly clock: Clock;
  readonly copy: Pick<LinkCopy, 'readPlace' | 'write' | 'begin'>;
  readonly feed: Pick<ChangeFeed, 'readChanges' | 'readEnd'>;
  /** Told when the copy follows another history: of another database, or of this one after it may have lost changes. */
  readonly onOtherHistory: (isOtherDatabase: boolean) => void;
}

export function createFollower({ clock, copy, feed, onOtherHistory }: FollowerDeps): Follower {
  let wholeAtMs = Number.NEGATIVE_INFINITY;
  let heardAtMs = Number.NEGATIVE_INFINITY;
  let history = NO_HISTORY;

  function heard(of: History, askedAtMs: number): void {
    heardAtMs = askedAtMs;
    history = of;
  }

  /** Whether its answer reached the end. */
  async function followOnce(askedAtMs: number): Promise<boolean> {
    // Before the question: what this host itself changes meanwhile, its answer need not know.
    const place = await copy.readPlace().catch(async (error: unknown) => {
      // It is the copy that cannot be read: whether the database answers is to be known all the same.
      heard((await feed.readEnd()).of, askedAtMs);
      throw error;
    });
    if (place === null) {
      // What was before the end is filled in beside, or asked for key by key.
      const end = await feed.readEnd();
      heard(end.of, askedAtMs);
      await copy.begin(end, null);
      return false;
    }
    const changes = await feed.readChanges(place.position);
    const { of, states, upTo, last, isEnd } = changes;
    heard(of, askedAtMs);
    if (!isSameHistory(of, place.of) || last < place.newest) {
      onOtherHistory(of.database !== place.of.database);
      await copy.begin(changes, place);
      return false;
    }
    if (upTo > place.position) {
      await copy.write(states, { mark: 'position', of, from: place.position, to: upTo });
    }
    return isEnd;
  }

  async function follow(): Promise<void> {
    for (let isWhole = false; !isWhole; ) {
      const askedAtMs = clock.monotonicMs();
      isWhole = await followOnce(askedAtMs);
      if (isWhole) wholeAtMs = askedAtMs;
    }
  }

  return {
    catchUp: shareRuns(follow),
    ageMs: () => clock.monotonicMs() - wholeAtMs,
    silentMs: () => clock.monotonicMs() - heardAtMs,
    history: () => history,
  };
}
