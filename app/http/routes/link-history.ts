/** What happened to a link, and undoing it. */

import { historyView, linkView, PAGE_LIMIT_DEFAULT, pageQuery, revertBody } from '../../links/link-schema.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { readIfMatch, toEtag } from '../etag.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Route } from '../route.ts';
import { LINK_PATH, type LinkRouteDeps, readRef } from './links.ts';

export function createLinkHistoryRoutes({
  links,
  store,
  views,
}: Pick<LinkRouteDeps, 'links' | 'store' | 'views'>): Route[] {
  return [
    defineRoute({
      id: 'listLinkHistory',
      method: 'get',
      path: `${LINK_PATH}/history`,
      summary: 'Who changed what and when, newest first',
      access: 'links:read',
      query: pageQuery,
      replies: { 200: { description: 'A page of changes.', schema: pageOf(historyView) } },
      errors: ['not_found'],
      async handle({ params, query }) {
        const { id } = await links.getLink(readRef(params));
        const question = `history ${id}`;
        const beforeVersion = decodeCursor(question, query.cursor)?.id ?? null;
        const limit = query.limit ?? PAGE_LIMIT_DEFAULT;
        const entries = await store.listHistory(id, { limit: limit + 1, beforeVersion });
        const shown = entries.slice(0, limit);
        const last = entries.length > limit ? shown.at(-1) : undefined;
        const next_cursor = last ? encodeCursor(question, { value: 0, id: last.version }) : null;
        return { status: 200, body: { items: shown.map(views.historyEntry), next_cursor } };
      },
    }),

    defineRoute({
      id: 'revertLink',
      method: 'post',
      path: `${LINK_PATH}/revert`,
      summary: 'Make the link what it was at an earlier version; also brings a deleted one back',
      access: 'links:write',
      body: revertBody,
      reads: ['If-Match'],
      replies: { 200: { description: 'The link as it is now.', schema: linkView, headers: ['ETag'] } },
      errors: ['not_found', 'conflict', 'precondition_failed', 'unavailable'],
      async handle({ params, body, headers, principal }) {
        const request = { by: principal.id, ifVersion: readIfMatch(headers['if-match']) };
        const link = await links.revert(readRef(params), body.version, request);
        return { status: 200, body: await views.link(link), headers: { ETag: toEtag(link.version) } };
      },
    }),
  ];
}
