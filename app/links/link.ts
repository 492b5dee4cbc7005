/**
 * What a link is. A link's `id` never changes and its history and clicks belong to it; its key can be taken by another
 * link once it has been deleted for `QUARANTINE_MS`.
 */

export const LINK_STATUSES = ['enabled', 'disabled', 'deleted'] as const;
export type LinkStatus = (typeof LINK_STATUSES)[number];

export const REDIRECT_STATUSES = [301, 302, 307, 308] as const;
export type RedirectStatus = (typeof REDIRECT_STATUSES)[number];

/** What a person decides about a link. Two links with equal options differ only in their key and their past. */
export interface LinkOptions {
  /** The target, normalised (see target.ts). */
  readonly url: string;
  readonly title: string | null;
  /** Distinct, in the order given. */
  readonly tags: readonly string[];
  readonly status: LinkStatus;
  readonly redirectStatus: RedirectStatus;
  /** From this moment on the link answers 410; null: never. */
  readonly expiresAtMs: number | null;
  /** How many requests may be answered with its redirect, from `CLICKS_MAX.min` on; null: any number. */
  readonly maxClicks: number | null;
}

export interface Link extends LinkOptions {
  readonly id: number;
  /** Empty: the host of BASE_URL, whatever that is today, so that moving to another name keeps every link. */
  readonly domain: string;
  readonly key: string;
  /** Counts the link's own changes from 1; the ETag. */
  readonly version: number;
  /** The number of its last change among the changes of all links. */
  readonly seq: number;
  /** The change that last set `maxClicks`, to whatever it is now; 0: it was made before links had any. */
  readonly maxClicksSeq: number;
  /** The principal that made it, such as `api-key:3` or `anonymous`. */
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly deletedAtMs: number | null;
  /** True once the key was taken by a later link; the row is then reached by id only. */
  readonly released: boolean;
}

/** The links of BASE_URL's own host. */
export const PRIMARY_DOMAIN = '';

export const CLICKS_MAX = { min: 1, max: 1_000_000_000 } as const;

/** A printed code must not come to lead elsewhere overnight: a deleted key stays reserved for 30 days. */
export const QUARANTINE_MS = 30 * 24 * 60 * 60 * 1000;

export const DEFAULT_LINK_OPTIONS = {
  title: null,
  tags: [],
  status: 'enabled',
  redirectStatus: 302,
  expiresAtMs: null,
  maxClicks: null,
} as const satisfies Omit<LinkOptions, 'url'>;

export function optionsOf(link: Link): LinkOptions {
  const { url, title, tags, status, redirectStatus, expiresAtMs, maxClicks } = link;
  return { url, title, tags, status, redirectStatus, expiresAtMs, maxClicks };
}

export function hasEqualOptions(a: LinkOptions, b: LinkOptions): boolean {
  return (
    a.url === b.url &&
    a.title === b.title &&
    a.status === b.status &&
    a.redirectStatus === b.redirectStatus &&
    a.expiresAtMs === b.expiresAtMs &&
    a.maxClicks === b.maxClicks &&
    a.tags.length === b.tags.length &&
    a.tags.every((tag, index) => tag === b.tags[index])
  );
}

/** What the redirect needs of a link. */
export interface RedirectFacts {
  readonly id: number;
  readonly url: string;
  readonly status: LinkStatus;
  readonly redirectStatus: RedirectStatus;
  readonly expiresAtMs: number | null;
  readonly maxClicks: number | null;
  readonly maxClicksSeq: number;
}

export type RedirectDecision = 'redirect' | 'expired' | 'disabled' | 'deleted';

/**
 * Expiry and status are judged when resolving, never by a sweep that might be late. Whether `maxClicks` is used up is known
 * only where clicks are stored (clicks/click-journal.ts).
 */
export function decideRedirect(link: RedirectFacts, nowMs: number): RedirectDecision {
  if (link.status !== 'enabled') return link.status;
  return link.expiresAtMs !== null && link.expiresAtMs <= nowMs ? 'expired' : 'redirect';
}
