/**
 * Removes the clicks of links that were purged. It follows the changes of links, so a purge needs nothing but its own commit,
 * and one that was cut off half-way goes on at the next start:
 *
 *   where did I stop? ─▶ purged since then? ─▶ count what is stored ─▶ remove the clicks of each ─▶ note down where I am
 *
 * Hosts of a fleet redirect until they know of a purge, and bring such clicks after it. So what was purged is purged a second time a
 * little later, as long as this process remembers it; what comes later still goes at night.
 */

import type { Clock } from '../kernel/clock.ts';
import { inPortions, nextTurn, type Pacer } from '../kernel/portions.ts';
import type { ClickTiers } from './click-tiers.ts';
import type { Folder } from './folder.ts';

/** Links that were purged by the changes behind `afterSeq`, as far as `seq`: a part of them at a time. */
export interface PurgedLinks {
  listPurged(afterSeq: number): Promise<{ readonly linkIds: readonly number[]; readonly seq: number }>;
}

export interface PurgerDeps {
  readonly purgedLinks: PurgedLinks;
  readonly tiers: Pick<ClickTiers, 'readPurgedTo' | 'writePurgedTo' | 'purgeLink'>;
  readonly folder: Pick<Folder, 'foldAll'>;
  readonly pacer: Pacer;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** Hosts know of a change within five seconds, and ship what they redirected in another one or two. */
export const AGAIN_AFTER_MS = 10_000;
/** Purges that are remembered for that. */
const LATER_MAX = 10_000;

/** Removes what it finds until `isOver`. */
export type Purger = (isOver: () => boolean) => Promise<void>;

export function createPurger({ purgedLinks, tiers, folder, pacer, clock }: PurgerDeps): Purger {
  /** Links to purge a second time, in the order of when they were purged; beyond the bound the night does it. */
  let later: { readonly linkId: number; readonly purgedMs: number }[] = [];

  async function purgeLinks(linkIds: readonly number[], isOver: () => boolean): Promise<void> {
    // What is not counted yet cannot be found by its link.
    if (linkIds.length > 0) await folder.foldAll(isOver);
    for (const linkId of linkIds) await inPortions(() => tiers.purgeLink(linkId), { pacer, isOver });
  }

  async function purgeAgain(isOver: () => boolean): Promise<void> {
    const dueMs = clock.monotonicMs() - AGAIN_AFTER_MS;
    const due = later.filter(({ purgedMs }) => purgedMs <= dueMs);
    await purgeLinks(
      due.map(({ linkId }) => linkId),
      isOver,
    );
    if (!isOver()) later = later.slice(due.length);
  }

  return async (isOver) => {
    await purgeAgain(isOver);
    while (!isOver()) {
      const afterSeq = await tiers.readPurgedTo();
      const { linkIds, seq } = await purgedLinks.listPurged(afterSeq);
      if (seq === afterSeq) return;
      await purgeLinks(linkIds, isOver);
      const purgedMs = clock.monotonicMs();
      if (!isOver()) {
        await tiers.writePurgedTo(seq, afterSeq);
        later = [...later, ...linkIds.map((linkId) => ({ linkId, purgedMs }))].slice(-LATER_MAX);
      }
      await nextTurn();
    }
  };
}
