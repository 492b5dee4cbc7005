/**
 * The port of a host's own copy of the links: what each key leads to, and as of which change that is known. It survives the
 * process. Whoever knows of a later change wins, in whatever order news come.
 */

import type { RedirectFacts } from '../links/link.ts';

/** What a key leads to (null: nothing) after the change `asOf`, the number of a change of any link. */
export interface KeyState {
  readonly key: string;
  readonly asOf: number;
  readonly facts: RedirectFacts | null;
}

/**
 * - `position`: all changes up to this one are in it.
 * - `newest`: no state is known as of a later change. Raised with what is written.
 * - `filled_to`: all links up to this id that were there before it was made; `FILLED`: all there were.
 * - `database`: the number of the database that this is a copy of.
 */
export type CopyMark = 'position' | 'newest' | 'filled_to' | 'database';
export const FILLED = Number.MAX_SAFE_INTEGER;

export interface LinkCopy {
  /** Answers at once, from this host alone; null: it does not know the key, or that nothing has it. */
  lookup(key: string): RedirectFacts | null;
  /** Null: it was never written. */
  readMark(mark: CopyMark): Promise<number | null>;
  /** Takes the states that are news, and raises marks. */
  write(states: readonly KeyState[], marks?: Partial<Record<CopyMark, number>>): Promise<void>;
  /** Forgets everything: the database is another one. */
  clear(): Promise<void>;
}

/** The port of the shared database's links. Each answer is of one moment. */
export interface ChangeFeed {
  readEnd(): Promise<FeedEnd>;
  /** The states of keys that changed behind `position`: a portion, which knows all changes up to `upTo`. */
  readChanges(position: number): Promise<Changes>;
  /** One state for each. */
  readKeys(keys: readonly string[]): Promise<readonly KeyState[]>;
}

export interface FeedEnd {
  /** The number of the last change of all. */
  readonly last: number;
  /** The number of the database, drawn when it was made. */
  readonly database: number;
}

export interface Changes extends FeedEnd {
  readonly states: readonly KeyState[];
  readonly upTo: number;
  /** `upTo` is the last one. */
  readonly isEnd: boolean;
}
