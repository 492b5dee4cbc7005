/**
 * Removes the clicks of links that were purged. It follows the changes of links, so a purge needs nothing but its own commit,
 * and one that was cut off half-way goes on at the next start:
 *
 *   where did I stop? ─▶ purged since then? ─▶ count what is stored ─▶ remove the clicks of each ─▶ note down where I am
 */

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
}

/** Removes what it finds until `isOver`. */
export type Purger = (isOver: () => boolean) => Promise<void>;

export function createPurger({ purgedLinks, tiers, folder, pacer }: PurgerDeps): Purger {
  return async (isOver) => {
    while (!isOver()) {
      const afterSeq = await tiers.readPurgedTo();
      const { linkIds, seq } = await purgedLinks.listPurged(afterSeq);
      if (seq === afterSeq) return;
      // What is not counted yet cannot be found by its link.
      if (linkIds.length > 0) await folder.foldAll(isOver);
      for (const linkId of linkIds) await inPortions(() => tiers.purgeLink(linkId), { pacer, isOver });
      if (!isOver()) await tiers.writePurgedTo(seq);
      await nextTurn();
    }
  };
}
