/**
 * Fills a new host's copy beside the service: first the links that people follow most, then all in the order of their ids. It
 * goes on where it was, whoever ends it. What a copy still knows of an earlier history alone goes once all is filled in.
 */

import { inPortions, type Pacer } from '../kernel/portions.ts';
import { FILLED, type History, isSameHistory, type KeyState, type LinkCopy } from './link-copy.ts';

/** The links that were there before the copy. */
export interface LinkSource {
  readMostClicked(): Promise<readonly KeyState[]>;
  /** Some links behind the id `after` in the order of ids; `next`: goes on behind this one, null: these were the last. */
  readPortion(after: number): Promise<LinkPortion>;
}

export interface LinkPortion {
  readonly of: History;
  readonly states: readonly KeyState[];
  readonly next: number | null;
}

export interface FillerDeps {
  readonly copy: Pick<LinkCopy, 'readPlace' | 'readFilledTo' | 'write' | 'forgetUnconfirmed'>;
  readonly source: LinkSource;
  readonly pacer: Pacer;
  /** Told that what is followed most could not be asked for: it comes with all others then. */
  readonly onUnordered: (error: unknown) => void;
}

/** States written in one transaction: about 5 ms. */
const PORTION = 500;
/** Before the first id. */
const NONE = 0;

/** Works until all is there, or `isOver`. */
export function createFiller(deps: FillerDeps): (isOver: () => boolean) => Promise<void> {
  const { copy, source, pacer, onUnordered } = deps;

  async function fillMostClicked(of: History, isOver: () => boolean): Promise<void> {
    const read = await source.readMostClicked().catch((error: unknown) => {
      onUnordered(error);
      return [];
    });
    const states = read.filter((state) => isSameHistory(state.of, of));
    let from = 0;
    await inPortions(
      async () => {
        await copy.write(states.slice(from, from + PORTION));
        from += PORTION;
        return from < states.length;
      },
      { pacer, isOver },
    );
    if (!isOver()) await copy.write([], { mark: 'filled_to', of, from: null, to: NONE });
  }

  /** Of the copy itself, whose keys are in the order of their bytes. */
  async function forgetUnconfirmed(run: number, isOver: () => boolean): Promise<void> {
    let after: string | null = '';
    await inPortions(
      async () => {
        after = await copy.forgetUnconfirmed(run, after as string);
        return after !== null;
      },
      { pacer, isOver },
    );
  }

  return async (isOver) => {
    const place = await copy.readPlace();
    if (place === null) return;
    if ((await copy.readFilledTo()) === null) await fillMostClicked(place.of, isOver);
    await inPortions(
      async () => {
        const after = await copy.readFilledTo();
        if (after === null || after === FILLED) return false;
        const { of, states, next } = await source.readPortion(after);
        // The follower has not heard of it yet.
        if (!isSameHistory(of, place.of)) return false;
        await copy.write(states, { mark: 'filled_to', of, from: after, to: next ?? FILLED });
        return true;
      },
      { pacer, isOver },
    );
    if ((await copy.readFilledTo()) === FILLED) await forgetUnconfirmed(place.run, isOver);
  };
}
