/**
 * How a redirect finds its link where hosts share a database: in this host's copy, which is never older than the database by
 * more than `FRESH_MS`, unless that cannot be asked.
 *
 *   in the copy?  ─ yes, fresh ──────────────────────────────────────────────▶ that
 *        │            └─ not fresh ─▶ catch up, for 200 ms at most ─▶ that, however old
 *        └─ no ─▶ ask the database ─┬─ has it ──▶ that, from now on in the copy
 *                                   ├─ has not ─▶ 404, this time
 *                                   └─ is gone ─▶ 503: a link may be there
 *
 * That nobody has a key is never remembered: a moment later another host may have made it. Instead one question at a time is
 * asked for all keys that are wanted, so that whoever guesses keys costs the database a question each few milliseconds.
 */

import type { Clock } from '../kernel/clock.ts';
import { within } from '../kernel/deadline.ts';
import { AppError } from '../kernel/errors.ts';
import type { RedirectFacts } from '../links/link.ts';
import type { LinkStore } from '../links/link-store.ts';
import type { Follower } from './follower.ts';
import type { ChangeFeed, KeyState, LinkCopy } from './link-copy.ts';

export interface SharedLinksDeps {
  readonly clock: Clock;
  readonly copy: Pick<LinkCopy, 'lookup' | 'write'>;
  readonly feed: Pick<ChangeFeed, 'readKeys'>;
  readonly follower: Follower;
  /** How old a copy may be that redirects are answered from; infinite: as old as it is. */
  readonly staleMaxMs: number;
  /** Told of news that could not be written to the copy. */
  readonly onCopyFailed: (error: unknown) => void;
}

/** How long a change that was made on another host may go unnoticed. */
const FRESH_MS = 3000;
/** How long redirects wait for a copy that is older than that, all together and once. */
const CATCH_UP_MS = 200;
/** And how long until they try again. */
const CATCH_UP_AGAIN_MS = 1000;
const ASK_MS = 1000;
/** Keys of one question. */
const KEYS_MAX = 500;
/** Keys that may wait for theirs. */
const WAITING_MAX = 10_000;

export function createSharedLookup(deps: SharedLinksDeps): LinkStore['lookup'] {
  const { clock, copy, feed, follower, staleMaxMs, onCopyFailed } = deps;
  let waiting = new Map<string, Asked>();
  let isAsking = false;
  let isWriting = false;
  let refreshing: Promise<void> | null = null;
  let refreshAgainAtMs = Number.NEGATIVE_INFINITY;

  /** Whether that worked is seen by the age. */
  function refresh(): Promise<void> {
    refreshing ??= within(follower.catchUp(), { clock, ms: CATCH_UP_MS, late: unavailable })
      .catch(() => undefined)
      .finally(() => {
        refreshing = null;
        refreshAgainAtMs = clock.monotonicMs() + CATCH_UP_AGAIN_MS;
      });
    return refreshing;
  }

  function ask(key: string): Promise<RedirectFacts | null> {
    const known = waiting.get(key);
    if (known !== undefined) return known.answer;
    if (waiting.size >= WAITING_MAX) throw unavailable();
    const { resolve, reject, answer } = createAsked();
    // Others may be asked for before it.
    const asked = { resolve, reject, answer: within(answer, { clock, ms: ASK_MS, late: unavailable }) };
    waiting.set(key, asked);
    // Whoever wants it after that is asked for anew.
    asked.answer.catch(() => waiting.get(key) === asked && waiting.delete(key));
    if (!isAsking) void askForAll();
    return asked.answer;
  }

  /** One at a time, and for nobody to wait for: what is not written now is asked for again. */
  function remember(states: readonly KeyState[]): void {
    if (isWriting) return;
    isWriting = true;
    copy
      .write(states.filter(({ facts }) => facts !== null))
      .catch(onCopyFailed)
      .finally(() => {
        isWriting = false;
      });
  }

  async function askForAll(): Promise<void> {
    isAsking = true;
    while (waiting.size > 0) {
      const group = new Map([...waiting].slice(0, KEYS_MAX));
      waiting = new Map([...waiting].slice(KEYS_MAX));
      try {
        const states = await within(feed.readKeys([...group.keys()]), {
          clock,
          ms: ASK_MS,
          late: unavailable,
        });
        for (const { key, facts } of states) group.get(key)?.resolve(facts);
        remember(states);
      } catch (error) {
        for (const { reject } of group.values()) reject(error);
      }
    }
    isAsking = false;
  }

  function find(key: string): RedirectFacts | null | Promise<RedirectFacts | null> {
    const known = copy.lookup(key);
    if (known === null) return ask(key);
    if (follower.ageMs() > staleMaxMs) throw new AppError('unavailable', TOO_OLD, { retryAfterSeconds: 1 });
    return known;
  }

  return (key) => {
    if (follower.ageMs() <= FRESH_MS) return find(key);
    if (refreshing === null && clock.monotonicMs() < refreshAgainAtMs) return find(key);
    return refresh().then(() => find(key));
  };
}

interface Asked {
  readonly answer: Promise<RedirectFacts | null>;
  resolve(facts: RedirectFacts | null): void;
  reject(error: unknown): void;
}

function createAsked(): Asked {
  let settle: Omit<Asked, 'answer'> | undefined;
  const answer = new Promise<RedirectFacts | null>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { answer, ...(settle as Omit<Asked, 'answer'>) };
}

function unavailable(): AppError {
  return new AppError('unavailable', LATE, { retryAfterSeconds: 1 });
}

const LATE = 'Whether this link exists cannot be found out just now. Try again in a moment.';
const TOO_OLD = 'Where this link leads was last known too long ago. Try again in a moment.';
