/**
 * The port of a host's own copy of the links: what each key leads to, and as of which change that is known. It survives the
 * process. Whoever knows of a later change wins, in whatever order news come.
 */

import type { RedirectFacts } from '../links/link.ts';

/** What changes are numbered in. A number says something about another one of the same history alone. */
export interface History {
  /** The number of the database, drawn when it was made. */
  readonly database: number;
  /** Another one after whatever can take changes back: a server that takes over or starts again, a backup that is restored. */
  readonly begun: number;
}

/** What a key leads to (null: nothing) after the change `asOf`, the number of a change of any link in the history `of`. */
export interface KeyState {
  readonly key: string;
  readonly asOf: number;
  readonly of: History;
  readonly facts: RedirectFacts | null;
}

/** Of no database: what is known of it is taken for nothing. */
export const NO_HISTORY: History = { database: 0, begun: 0 };

export function isSameHistory(one: History, other: History): boolean {
  return one.database === other.database && one.begun === other.begun;
}

/** Where a copy stands. */
export interface CopyPlace {
  readonly of: History;
  /** How many histories it has followed. */
  readonly run: number;
  /** All changes up to this one are in it. */
  readonly position: number;
  /** No state is known as of a later change. */
  readonly newest: number;
}

/**
 * - `position`: see CopyPlace.
 * - `filled_to`: all links up to this id that were there before; `FILLED`: all there were. Null: nothing was filled in.
 */
export type CopyMark = 'position' | 'filled_to';
export const FILLED = Number.MAX_SAFE_INTEGER;

/** Moves a mark from where it was found; without effect where somebody moved it meanwhile, or where the history is another one. */
export interface CopyStep {
  readonly mark: CopyMark;
  readonly of: History;
  readonly from: number | null;
  readonly to: number;
}

export interface LinkCopy {
  /** Answers at once, from this host alone; null: it does not know the key, or that nothing has it. */
  lookup(key: string): RedirectFacts | null;
  /** Null: it is new. */
  readPlace(): Promise<CopyPlace | null>;
  readFilledTo(): Promise<number | null>;
  /** Takes the states that are news. A key whose state is of another history than the copy's is forgotten. */
  write(states: readonly KeyState[], step?: CopyStep): Promise<void>;
  /**
   * Follows another history, unless somebody did so since the place `instead` was read. Of another database everything is forgotten, and
   * it is followed from its end on; of the same one it goes on from where it was, if the database still knows of that, and states stay
   * until they are known better, or until `forgetUnconfirmed`.
   */
  begin(end: FeedEnd, instead: CopyPlace | null): Promise<void>;
  /**
   * Forgets what is known of an earlier history alone: a portion of the keys behind `after`. Resolves with the last of them; null:
   * nothing is left, or another run has begun.
   */
  forgetUnconfirmed(run: number, after: string): Promise<string | null>;
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
  readonly of: History;
  /** The number of the last change of all. */
  readonly last: number;
}

export interface Changes extends FeedEnd {
  readonly states: readonly KeyState[];
  readonly upTo: number;
  /** `upTo` is the last one. */
  readonly isEnd: boolean;
}
