/**
 * Texts that many clicks share, as numbers. Used inside the transaction that stores the clicks; what a rolled back one made has
 * to be forgotten.
 */

import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import { WORD_KINDS, type WordKind } from '../click-rows.ts';

export interface ClickWords {
  /** The number of a text; null stays null. `OTHER` once there are too many of the kind. */
  idOf(kind: WordKind, text: string | null): number | null;
  /** Forgets what was made since the transaction began. */
  forget(): void;
}

/** Every text that came once its kind was full: whoever sends a new header with each request must not fill the disk. */
export const OTHER = 0;
/** Texts of a kind: at most 120 MB of agents. */
const KIND_MAX = 200_000;
/** Of each kind. */
const REMEMBERED_MAX = 10_000;

export function createClickWords(connection: Database.Database): ClickWords {
  const find = connection
    .prepare<[number, string], number>('select id from words where kind = ? and text = ?')
    .pluck();
  const insert = connection
    .prepare<[number, string], number>('insert into words (kind, text) values (?, ?) returning id')
    .pluck();
  const count = connection.prepare<[number], number>('select count(*) from words where kind = ?').pluck();
  const kinds = new Map<WordKind, { ids: LRUCache<string, number>; count: number }>();

  function open(kind: WordKind) {
    const opened = {
      ids: new LRUCache<string, number>({ max: REMEMBERED_MAX }),
      count: count.get(WORD_KINDS[kind]) as number,
    };
    kinds.set(kind, opened);
    return opened;
  }

  return {
    idOf(kind, text) {
      if (text === null) return null;
      const words = kinds.get(kind) ?? open(kind);
      const known = words.ids.get(text);
      if (known !== undefined) return known;
      let id = find.get(WORD_KINDS[kind], text);
      if (id === undefined) {
        if (words.count >= KIND_MAX) return OTHER;
        id = insert.get(WORD_KINDS[kind], text) as number;
        words.count++;
      }
      words.ids.set(text, id);
      return id;
    },
    forget: () => kinds.clear(),
  };
}
