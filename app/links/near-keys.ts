/**
 * Which keys somebody may have meant: those of links that differ from what was followed by one edit, by two, or by nothing but
 * capital letters. The work for a key is bounded, however many links there are:
 *
 *   1. Every key that is one edit away is made and asked for: all of them are found.
 *   2. Keys of the same letters are found by the search index.
 *   3. Of those that begin like it, the `NEIGHBOURS_MAX` on either side in the order of keys are compared: two edits are found
 *      when they are not in the first third, and not too many keys begin alike.
 */

import { BASE62, KEY_LENGTH_MAX } from './key.ts';

export interface NearKeyStore {
  /** Those that a link has now, deleted ones included. */
  findExisting(keys: readonly string[]): Promise<string[]>;
  /** Keys that differ in nothing but capital letters. */
  findSameLetters(key: string): Promise<string[]>;
  /** Keys with this beginning, up to `limit` before the key in their order and as many behind it. */
  findNeighbours(key: string, prefix: string, limit: number): Promise<string[]>;
}

/** Shown of each. */
const NEAR_MAX = 3;
const NEIGHBOURS_MAX = 500;
/** Longer ones would have thousands of edits; what begins like them tells enough. */
const EDITED_LENGTH_MAX = 16;
const KEY_CHARACTERS = [...`${BASE62}-_`];
const DISTANCE_MAX = 2;
/** Shorter ones are two edits away from too much. */
const TWO_EDITS_FROM = 4;

/** The closest ones, nearest first. */
export async function findNearKeys(store: NearKeyStore, key: string): Promise<string[]> {
  const found = [
    ...(await store.findExisting(editsOf(key))),
    ...(await store.findSameLetters(key)),
    ...(await store.findNeighbours(key, key.slice(0, Math.ceil(key.length / 3)), NEIGHBOURS_MAX)),
  ];
  const distanceMax = key.length < TWO_EDITS_FROM ? 1 : DISTANCE_MAX;
  return [...new Set(found)]
    .map((other) => ({ other, distance: distanceBetween(key, other) }))
    .filter(({ distance }) => distance <= distanceMax)
    .sort((a, b) => a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, NEAR_MAX)
    .map(({ other }) => other);
}

/** Every key that one edit makes of it: a character left out, put in, replaced, or two that change places. */
export function editsOf(key: string): string[] {
  if (key.length > EDITED_LENGTH_MAX) return [];
  const edits = new Set<string>();
  for (let at = 0; at <= key.length; at++) {
    const [before, after] = [key.slice(0, at), key.slice(at)];
    edits.add(before + after.slice(1));
    edits.add(before + after.slice(1, 2) + after.slice(0, 1) + after.slice(2));
    for (const character of KEY_CHARACTERS) {
      edits.add(before + character + after);
      edits.add(before + character + after.slice(1));
    }
  }
  edits.delete(key);
  edits.delete('');
  return [...edits].filter(({ length }) => length <= KEY_LENGTH_MAX);
}

/** Edits that make one of the other, or `DISTANCE_MAX` + 1 when there are more; capital letters alone count half an edit. */
export function distanceBetween(a: string, b: string): number {
  if (a.toLowerCase() === b.toLowerCase()) return a === b ? 0 : 0.5;
  if (Math.abs(a.length - b.length) > DISTANCE_MAX) return DISTANCE_MAX + 1;
  return Math.min(editDistance(a, b), DISTANCE_MAX + 1);
}

/** Optimal string alignment: https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current.push(
        Math.min(
          (last[column] as number) + 1,
          (current[column - 1] as number) + 1,
          (last[column - 1] as number) + (isSame ? 0 : 1),
          isSwap ? (before[column - 2] as number) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    before = last;
    last = current;
  }
  return last[b.length] as number;
}
