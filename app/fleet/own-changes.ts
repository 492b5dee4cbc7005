/**
 * Whoever makes or changes a link follows it on the same host at once, whatever becomes of the database in that moment: what was
 * committed goes into this host's copy before anybody is told of it.
 */

import type { LinkStore, UnitResult } from '../links/link-store.ts';
import type { History, KeyState, LinkCopy } from './link-copy.ts';

export interface OwnChangesDeps {
  readonly links: LinkStore;
  readonly copy: Pick<LinkCopy, 'write'>;
  /**
   * What was heard of the database last. Asked before a change: where it becomes another one meanwhile, nobody knows which of them has
   * the change, and the copy forgets the key.
   */
  readonly readHistory: () => History;
  /** For purges, which leave nothing to go by. Resolves in any case, and soon. */
  readonly catchUp: () => Promise<void>;
  /** Told of changes that could not be written to the copy. It hears of them like the other hosts. */
  readonly onCopyFailed: (error: unknown) => void;
}

export function keepOwnChanges({
  links,
  copy,
  readHistory,
  catchUp,
  onCopyFailed,
}: OwnChangesDeps): LinkStore {
  return {
    ...links,
    async apply(units) {
      const of = readHistory();
      const results = await links.apply(units);
      const outcomes = results.flatMap(({ committed, outcomes }) => (committed ? outcomes : []));
      const states = outcomes.flatMap((outcome) => toState(outcome, of));
      await copy.write(states).catch(onCopyFailed);
      if (outcomes.some(({ type }) => type === 'purged')) await catchUp();
      return results;
    },
  };
}

/** A released link says nothing about its key, which may be somebody else's. */
function toState(outcome: UnitResult['outcomes'][number], of: History): KeyState[] {
  if (!('link' in outcome) || outcome.link.released) return [];
  return [{ key: outcome.link.key, asOf: outcome.link.seq, of, facts: outcome.link }];
}
