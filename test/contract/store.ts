/**
 * What the contract suites need of a backend, and the words they are written in: links, commands and answers of the
 * store in short form. Nothing here knows which database it talks to.
 */

import type { Test } from 'tap';
import type { ApiKeyStore } from '../../app/auth/api-key.ts';
import type { DrainStore } from '../../app/health/drain.ts';
import { DEFAULT_LINK_OPTIONS, type Link, type LinkOptions } from '../../app/links/link.ts';
import type { LinkCommand, LinkQuery, LinkRef, LinkStore, Outcome } from '../../app/links/link-store.ts';

export interface OpenedStore {
  readonly links: LinkStore;
  readonly apiKeys: ApiKeyStore;
  readonly drain: DrainStore;
  close(): Promise<void>;
  /** Opens the same data once more, as another process would. */
  openAgain(): Promise<OpenedStore>;
}

/** Opens an empty store that is closed and removed with the test. */
export type OpenStore = (t: Test) => Promise<OpenedStore>;

export const DAY_MS = 24 * 60 * 60 * 1000;
export const T0 = Date.UTC(2026, 0, 31, 12);

export function optionsFor(url: string, more: Partial<LinkOptions> = {}): LinkOptions {
  return { ...DEFAULT_LINK_OPTIONS, url, ...more };
}

/** A command without what is nearly always the same. */
type Loose<T> = T extends unknown ? Omit<T, 'by' | 'atMs' | 'ifVersion' | 'reuseEqual'> & Partial<T> : never;

export function command(given: Loose<LinkCommand>): LinkCommand {
  const common = { by: 'api-key:1', atMs: T0 };
  const own = given.type === 'create' ? { reuseEqual: false } : { ifVersion: null };
  return { ...common, ...own, ...given } as LinkCommand;
}

export function createAs(key: string, more: Partial<LinkOptions> & { by?: string; atMs?: number } = {}) {
  const { by = 'api-key:1', atMs = T0, ...options } = more;
  return command({
    type: 'create',
    candidates: [key],
    options: optionsFor(`https://example.com/${key}`, options),
    by,
    atMs,
  });
}

/** The outcome of one command in a unit of its own. */
export async function applyOne(links: LinkStore, given: Loose<LinkCommand>): Promise<Outcome> {
  const [result] = await links.apply([[command(given)]]);
  const outcome = result?.outcomes[0];
  if (result === undefined || outcome === undefined) throw new Error('The store did not answer.');
  if (result.committed !== (outcome.type !== 'refused'))
    throw new Error('committed contradicts the outcome.');
  return outcome;
}

/** The same where a link must come of it. */
export async function applyForLink(links: LinkStore, given: Loose<LinkCommand>): Promise<Link> {
  const outcome = await applyOne(links, given);
  if (!('link' in outcome)) throw new Error(`Expected a link, got ${JSON.stringify(outcome)}.`);
  return outcome.link;
}

export async function getLink(links: LinkStore, ref: LinkRef): Promise<Link> {
  const link = await links.findLink(ref);
  if (link === null) throw new Error(`There is no link ${JSON.stringify(ref)}.`);
  return link;
}

/** A link as its creation leaves it. */
export function newLink(
  { id, seq }: Pick<Link, 'id' | 'seq'>,
  key: string,
  options: LinkOptions,
  { by = 'api-key:1', atMs = T0 } = {},
): Link {
  return {
    ...options,
    id,
    domain: '',
    key,
    version: 1,
    seq,
    maxClicksSeq: seq,
    createdBy: by,
    createdAtMs: atMs,
    updatedAtMs: atMs,
    deletedAtMs: null,
    released: false,
  };
}

export const EVERYTHING: LinkQuery = {
  q: null,
  tag: null,
  status: 'all',
  sort: 'created_at',
  limit: 200,
  after: null,
};

/** More than any list of these suites has. */
const PAGES_MAX = 20_000;

/** All pages of a list one behind the other, with the size of each. */
export async function listAll(
  links: LinkStore,
  query: Partial<LinkQuery> = {},
): Promise<{ items: Link[]; pages: number[] }> {
  const items: Link[] = [];
  const pages: number[] = [];
  let after = query.after ?? null;
  do {
    const page = await links.listLinks({ ...EVERYTHING, ...query, after });
    items.push(...page.items);
    pages.push(page.items.length);
    after = page.next;
    if (pages.length > PAGES_MAX) throw new Error(`The list does not end: ${pages.length} pages.`);
  } while (after !== null);
  return { items, pages };
}

export async function listKeys(links: LinkStore, query: Partial<LinkQuery> = {}): Promise<string[]> {
  return (await listAll(links, query)).items.map(({ key }) => key);
}
