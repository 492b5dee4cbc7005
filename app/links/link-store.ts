/**
 * The storage port of links. It speaks whole units of work: a unit is all or nothing, units that arrive together share
 * one commit, and no begin or commit crosses the port. Commands of a unit see the ones before them.
 *
 * Every implementation must pass test/contract/link-store.ts.
 */

import type { Link, LinkOptions, LinkStatus, RedirectFacts } from './link.ts';

/** A link by its key (the one that owns the key now) or by its id (any, also one whose key was taken). */
export type LinkRef = { readonly key: string } | { readonly id: number };

/** The versions that an `If-Match` accepts; `existing`: any, but the link must exist; null: there was none. */
export type VersionCondition = readonly number[] | 'existing' | null;

interface Authorship {
  /** The principal that asked for it. */
  readonly by: string;
  readonly atMs: number;
}

/**
 * - `create` takes the first of `candidates` that is free. With `reuseEqual` a live link at a candidate that has the same
 *   options and creator, and no `maxClicks`, is the answer instead.
 * - `put` creates the link or gives it these options; a link that has them already is left as it is.
 * - `update` changes what it names; one that names a number for `maxClicks` sets it anew, also to the number that it has.
 * - `revert` gives the link the options that it had at `version`; also brings a deleted link back.
 * - `purge` removes link, history and clicks; a `purged` event without content remains.
 */
export type LinkCommand =
  | ({
      readonly type: 'create';
      readonly candidates: readonly string[];
      readonly options: LinkOptions;
      readonly reuseEqual: boolean;
    } & Authorship)
  | ({
      readonly type: 'put';
      readonly key: string;
      readonly options: LinkOptions;
      readonly ifVersion: VersionCondition;
    } & Authorship)
  | ({
      readonly type: 'update';
      readonly ref: LinkRef;
      readonly changes: Partial<LinkOptions>;
      readonly ifVersion: VersionCondition;
    } & Authorship)
  | ({ readonly type: 'delete'; readonly ref: LinkRef; readonly ifVersion: VersionCondition } & Authorship)
  | ({
      readonly type: 'revert';
      readonly ref: LinkRef;
      readonly version: number;
      readonly ifVersion: VersionCondition;
    } & Authorship)
  | ({ readonly type: 'purge'; readonly ref: LinkRef; readonly ifVersion: VersionCondition } & Authorship);

/** Why a command changed nothing. */
export type Refusal =
  | 'key_taken' // by a live link, by one deleted less than 30 days ago, or (revert) since
  | 'not_found'
  | 'gone' // the link is deleted
  | 'version_mismatch' // If-Match names another version
  | 'version_unknown'; // revert to a version the link never had

export type Outcome =
  | { readonly type: 'created' | 'updated' | 'deleted' | 'reverted'; readonly link: Link }
  | { readonly type: 'unchanged'; readonly link: Link }
  | { readonly type: 'purged' }
  | { readonly type: 'refused'; readonly reason: Refusal };

/** `outcomes` answer the commands one by one. A unit with a refusal among them was not committed at all. */
export interface UnitResult {
  readonly committed: boolean;
  readonly outcomes: readonly Outcome[];
}

export const EVENT_TYPES = ['created', 'updated', 'deleted', 'reverted', 'purged'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** One change of one link. `options` is what the link was after it; null once purged. */
export interface LinkEvent {
  readonly seq: number;
  readonly type: EventType;
  readonly linkId: number;
  readonly domain: string;
  readonly key: string;
  readonly version: number;
  readonly by: string;
  readonly atMs: number;
  readonly options: LinkOptions | null;
}

/** A change of a link that exists, with what it changed: `before` is null for the first. */
export interface LinkHistoryEntry extends LinkEvent {
  readonly before: LinkOptions | null;
  readonly options: LinkOptions;
}

export const LINK_SORTS = ['-created_at', 'created_at', '-updated_at', 'updated_at', 'key', '-key'] as const;
export type LinkSort = (typeof LINK_SORTS)[number];

export interface LinkQuery {
  /** Part of the key, target, title or a tag, without regard to case. */
  readonly q: string | null;
  readonly tag: string | null;
  /** `live`: enabled and disabled ones. */
  readonly status: LinkStatus | 'live' | 'all';
  readonly sort: LinkSort;
  readonly limit: number;
  readonly after: PagePosition | null;
}

/** Where a page ended: the sort value and the id of its last row. */
export interface PagePosition {
  readonly value: string | number;
  readonly id: number;
}

/** A page may hold fewer rows than asked for and still have a `next`: the rows looked at for one page are bounded. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: PagePosition | null;
}

export interface LinkStore {
  /** Commits the units in order. Throws AppError `unavailable` when the store cannot write now; then none is stored. */
  apply(units: readonly (readonly LinkCommand[])[]): Promise<readonly UnitResult[]>;
  /** What a redirect needs, of the link that owns the key now. May answer at once. */
  lookup(key: string): RedirectFacts | null | Promise<RedirectFacts | null>;
  findLink(ref: LinkRef): Promise<Link | null>;
  listLinks(query: LinkQuery): Promise<Page<Link>>;
  /** Newest first; `beforeVersion` goes on from there. */
  listHistory(
    linkId: number,
    page: { limit: number; beforeVersion: number | null },
  ): Promise<readonly LinkHistoryEntry[]>;
  /** Oldest first from `after`, or newest first from `before` (null: from the newest). */
  listEvents(
    page: { limit: number; after: number } | { limit: number; before: number | null },
  ): Promise<readonly LinkEvent[]>;
  /** Takes `count` numbers that nobody had before and nobody gets again; returns the first. Used by the counter strategy. */
  takeNumbers(count: number): Promise<number>;
}
