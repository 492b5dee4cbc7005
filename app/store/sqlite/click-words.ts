/**
 * Texts that many clicks share, as numbers. Used inside the transaction that stores the clicks; what a rolled back one made has
 * to be forgotten.
 */

import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import {
  CLICK_WORD_KINDS,
  type ClickWordKind,
  OTHER_WORD,
  WORD_KINDS,
  WORDS_OF_KIND_MAX,
} from '../click-rows.ts';

export interface ClickWords {
  /** The number of a text; null stays null. `OTHER_WORD` once there are too many of the kind. */
  idOf(kind: ClickWordKind, text: string | null): number | null;
  /** What was made is committed. */
  keep(): void;
  /** What was made since the last `keep` was rolled back. */
  forget(): void;
}

/** Of each kind. */
const REMEMBERED_MAX = 10_000;

interface Words {
  readonly ids: LRUCache<string, number>;
  count: number;
}

/** Counts what is there, some 40 ms for a full kind: not while a redirect waits. */
export function createClickWords(connection: Database.Database, kindMax = WORDS_OF_KIND_MAX): ClickWords {
  const find = connection
    .prepare<[number, string], number>('select id from words where kind = ? and text = ?')
    .pluck();
  const insert = connection
    .prepare<[number, string], number>('insert into words (kind, text) values (?, ?) returning id')
    .pluck();
  const counts = new Map(
    connection.prepare<[], [number, number]>('select kind, count(*) from words group by kind').raw().all(),
  );
  const words = Object.fromEntries(
    CLICK_WORD_KINDS.map((kind) => [
      kind,
      {
        ids: new LRUCache<string, number>({ max: REMEMBERED_MAX }),
        count: counts.get(WORD_KINDS[kind]) ?? 0,
      },
    ]),
  ) as Record<ClickWordKind, Words>;
  let made: { readonly kind: ClickWordKind; readonly text: string }[] = [];

  function make(kind: ClickWordKind, text: string): number {
    words[kind].count++;
    made.push({ kind, text });
    return insert.get(WORD_KINDS[kind], text) as number;
  }

  return {
    idOf(kind, text) {
      if (text === null) return null;
      const { ids, count } = words[kind];
      const known = ids.get(text) ?? find.get(WORD_KINDS[kind], text);
      if (known === undefined && count >= kindMax) return OTHER_WORD;
      const id = known ?? make(kind, text);
      ids.set(text, id);
      return id;
    },
    keep() {
      if (made.length > 0) made = [];
    },
    forget() {
      for (const { kind, text } of made) {
        words[kind].ids.delete(text);
        words[kind].count--;
      }
      made = [];
    },
  };
}
