/**
 * Fills a new host's copy beside the service: first the links that people follow most, then all in the order of their ids. It
 * goes on where it was, whoever ends it.
 */

import { inPortions, type Pacer } from '../kernel/portions.ts';
import { FILLED, type KeyState, type LinkCopy } from './link-copy.ts';

/** The links that were there before the copy. */
export interface LinkSource {
  readMostClicked(): Promise<readonly KeyState[]>;
  /** Some links behind the id `after` in the order of ids; `next`: goes on behind this one, null: these were the last. */
  readPortion(after: number): Promise<{ readonly states: readonly KeyState[]; readonly next: number | null }>;
}

export interface FillerDeps {
  readonly copy: Pick<LinkCopy, 'readMark' | 'write'>;
  readonly source: LinkSource;
  readonly pacer: Pacer;
}

/** States written in one transaction: about 5 ms. */
const PORTION = 500;

/** Works until all is there, or `isOver`. */
export function createFiller({ copy, source, pacer }: FillerDeps): (isOver: () => boolean) => Promise<void> {
  async function fillMostClicked(isOver: () => boolean): Promise<void> {
    const states = await source.readMostClicked();
    let from = 0;
    await inPortions(
      async () => {
        await copy.write(states.slice(from, from + PORTION));
        from += PORTION;
        return from < states.length;
      },
      { pacer, isOver },
    );
    if (!isOver()) await copy.write([], { filled_to: 0 });
  }

  return async (isOver) => {
    if ((await copy.readMark('filled_to')) === null) await fillMostClicked(isOver);
    await inPortions(
      async () => {
        const after = await copy.readMark('filled_to');
        if (after === null || after === FILLED) return false;
        const { states, next } = await source.readPortion(after);
        await copy.write(states, { filled_to: next ?? FILLED });
        return next !== null;
      },
      { pacer, isOver },
    );
  };
}
