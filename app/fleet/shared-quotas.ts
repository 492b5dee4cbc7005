/**
 * Redirects of links with `max_clicks`, where hosts share them: each asks the shared database before it is answered, those of one
 * link together. Without the database they are refused, because nobody can say whether the link is used up.
 */

import type { Quota } from '../clicks/click-journal.ts';
import type { ClickWriter, Redirect } from '../clicks/click-writer.ts';
import type { Clock } from '../kernel/clock.ts';
import { within } from '../kernel/deadline.ts';

/** What is used of the limits of links. */
export interface QuotaBook {
  /** Takes up to `count` of what is left of `clicksMax`, and resolves with how many that were; null: what is used is not known. */
  take(limit: Limit, count: number): Promise<number | null>;
  /** Null: it is not known. */
  readUsed(limit: Limit): Promise<number | null>;
}

/** What is used of one set before a file was lost, on a host that moved here later, cannot be known. */
export type Limit = Omit<Quota, 'isOnlyAsked'>;

export interface SharedQuotasDeps {
  readonly book: QuotaBook;
  readonly record: ClickWriter['record'];
  readonly clock: Clock;
  /** Told why a limit could not be asked. */
  readonly onFailed: (error: unknown) => void;
}

/** How long a redirect waits for the database. */
const ASK_MS = 1000;

interface Limited extends Redirect {
  readonly quota: Quota;
}

/** The click writer's `record`, which knows of no limits any more. */
export function createSharedQuotas({
  book,
  record,
  clock,
  onFailed,
}: SharedQuotasDeps): ClickWriter['record'] {
  /** By link, those that came while others of it are asked for. */
  const waiting = new Map<number, Limited[]>();

  function enqueue(redirect: Limited): void {
    const { linkId } = redirect.quota;
    const queue = waiting.get(linkId);
    if (queue !== undefined) {
      queue.push(redirect);
      return;
    }
    void askFor(linkId, [redirect]);
  }

  async function askFor(linkId: number, first: readonly Limited[]): Promise<void> {
    const queue: Limited[] = [];
    waiting.set(linkId, queue);
    for (let group = first; group.length > 0; group = queue.splice(0)) await settle(linkId, group);
    waiting.delete(linkId);
  }

  async function settle(linkId: number, group: readonly Limited[]): Promise<void> {
    // Of two limits, of before and after a change, the lower one: never one too many.
    const clicksMax = Math.min(...group.map(({ quota }) => quota.clicksMax));
    // Once it was set anew it is known.
    const setBySeq = Math.max(...group.map(({ quota }) => quota.setBySeq));
    const limit = { linkId, clicksMax, setBySeq };
    const taking = group.filter(({ quota }) => !quota.isOnlyAsked);
    const asking = group.filter(({ quota }) => quota.isOnlyAsked);
    await Promise.all([
      decide(taking, () => book.take(limit, taking.length)),
      decide(asking, async () => {
        const used = await book.readUsed(limit);
        if (used === null) return null;
        return used < clicksMax ? asking.length : 0;
      }),
    ]);
  }

  /** As many as `ask` says, the others find the limit used up; null: nobody knows. */
  async function decide(redirects: readonly Limited[], ask: () => Promise<number | null>): Promise<void> {
    if (redirects.length === 0) return;
    try {
      const count = await within(ask(), { clock, ms: ASK_MS, late });
      if (count === null) refuse(redirects, 'unknown');
      else admit(redirects, count);
    } catch (error) {
      onFailed(error);
      refuse(redirects, 'unavailable');
    }
  }

  function refuse(redirects: readonly Limited[], fate: 'unknown' | 'unavailable'): void {
    for (const redirect of redirects) redirect.settle(fate);
  }

  function admit(redirects: readonly Limited[], count: number): void {
    for (const redirect of redirects.slice(0, count)) record({ ...redirect, quota: null });
    for (const redirect of redirects.slice(count)) redirect.settle('spent');
  }

  return (redirect) => {
    if (redirect.quota === null) record(redirect);
    else enqueue(redirect as Limited);
  };
}

function late(): Error {
  return new Error(`The database did not say within ${ASK_MS / 1000} s what is left of a limit.`);
}
