/**
 * Who followed which link within the last seconds. A table of fixed size without a list of collisions: a newcomer takes the
 * place of whoever was there, who is then forgotten and counts as human the next time. Up to some thousand visitors a second
 * that hardly happens, and it costs neither memory nor the garbage collector anything.
 */

/** 4 MB. */
const PLACES = 2 ** 18;

export interface RepeatMemory {
  /** Whether this visitor followed this link less than a window ago; if not, remembers that it does now. */
  isRepeat(linkId: number, visitor: number, atMs: number): boolean;
}

export function createRepeatMemory({ windowMs }: { windowMs: number }): RepeatMemory {
  const pairs = new Float64Array(PLACES);
  const times = new Float64Array(PLACES);
  return {
    isRepeat(linkId, visitor, atMs) {
      const pair = toPair(linkId, visitor);
      const place = pair % PLACES;
      // Either way: a clock that was set back must not make repeats of everybody until it has caught up.
      if (pairs[place] === pair && Math.abs(atMs - (times[place] as number)) < windowMs) return true;
      pairs[place] = pair;
      times[place] = atMs;
      return false;
    },
  };
}

/** One number for both: visitors are 48 random bits, so two pairs are about never the same, and the product fits in 53. */
function toPair(linkId: number, visitor: number): number {
  return visitor * 31 + linkId;
}
