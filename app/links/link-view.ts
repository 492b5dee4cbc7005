/** How links and their changes are shown by the API. */

import type { z } from 'zod';
import { toRfc3339 } from '../kernel/clock.ts';
import { type Link, type LinkOptions, PRIMARY_DOMAIN } from './link.ts';
import type { eventView, historyView, linkView, optionsView, shortenedView } from './link-schema.ts';
import type { LinkEvent, LinkHistoryEntry } from './link-store.ts';

export type LinkView = z.output<typeof linkView>;

export interface LinkViews {
  link(link: Link): Promise<LinkView>;
  /** However many there are, their clicks are read in one go. */
  links(links: readonly Link[]): Promise<LinkView[]>;
  shortened(link: Link): z.output<typeof shortenedView>;
  event(event: LinkEvent): z.output<typeof eventView>;
  historyEntry(entry: LinkHistoryEntry): z.output<typeof historyView>;
}

export interface LinkViewDeps {
  readonly baseUrl: string;
  /** How often each of them was followed: by people, and of its `max_clicks`. Null: it cannot be read now. */
  readonly readUse: (
    linkIds: readonly number[],
  ) => Promise<(linkId: number) => { readonly clicks: number; readonly ofMax: number } | null>;
}

export function createLinkViews({ baseUrl, readUse }: LinkViewDeps): LinkViews {
  const { host, origin } = new URL(baseUrl);
  const domainOf = (domain: string): string => (domain === PRIMARY_DOMAIN ? host : domain);
  const shortUrlOf = (link: Link): string => `${origin}/${link.key}`;

  async function showLinks(links: readonly Link[]): Promise<LinkView[]> {
    const useOf = await readUse(links.map(({ id }) => id));
    return links.map((link) => showLink(link, useOf(link.id)));
  }

  function showLink(link: Link, use: ReturnType<Awaited<ReturnType<typeof readUse>>>): LinkView {
    return {
      id: link.id,
      domain: domainOf(link.domain),
      key: link.key,
      ...toOptionsView(link),
      short_url: shortUrlOf(link),
      version: link.version,
      seq: link.seq,
      created_by: link.createdBy,
      created_at: toRfc3339(link.createdAtMs),
      updated_at: toRfc3339(link.updatedAtMs),
      clicks: use?.clicks ?? null,
      max_clicks_used: link.maxClicks === null ? null : (use?.ofMax ?? null),
    };
  }

  return {
    links: showLinks,

    async link(link) {
      const [view] = await showLinks([link]);
      return view as LinkView;
    },

    shortened: (link) => ({ key: link.key, short_url: shortUrlOf(link), url: link.url }),

    event: (event) => ({
      seq: event.seq,
      type: event.type,
      link_id: event.linkId,
      domain: domainOf(event.domain),
      key: event.key,
      version: event.version,
      by: event.by,
      at: toRfc3339(event.atMs),
      link: event.options === null ? null : toOptionsView(event.options),
    }),

    historyEntry: (entry) => ({
      version: entry.version,
      seq: entry.seq,
      type: entry.type,
      by: entry.by,
      at: toRfc3339(entry.atMs),
      before: entry.before === null ? null : toOptionsView(entry.before),
      after: toOptionsView(entry.options),
    }),
  };
}

function toOptionsView(options: LinkOptions): z.output<typeof optionsView> {
  return {
    url: options.url,
    title: options.title,
    tags: [...options.tags],
    status: options.status,
    redirect_status: options.redirectStatus,
    expires_at: options.expiresAtMs === null ? null : toRfc3339(options.expiresAtMs),
    max_clicks: options.maxClicks,
  };
}
