/**
 * Which keys somebody may have meant: those of links that differ from what was followed by one edit, by two, or by nothing but
 * capital letters. The work for a key is bounded, however many links there are:
 *
 *   1. Every key that is one edit away is made and asked for: all of them are found.
 *   2. Keys of the same letters are found by the search index.
 *   3. Of those that begin like it, the `NEIGHBOURS_MAX` on either side in the order of keys are compared: two edits are found
 *      when they are not in the first third, and not too many keys begin alike.
 */

import { DISTANCE_MAX, distanceBetween } from '../kernel/edit-distance.ts';
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
