/** `GET /api/v1/events`: every change of every link by its number. */

import { eventsQuery, eventView, PAGE_LIMIT_DEFAULT } from '../../links/link-schema.ts';
import type { LinkStore } from '../../links/link-store.ts';
import type { LinkViews } from '../../links/link-view.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Route } from '../route.ts';

export function createEventsRoute({ store, views }: { store: LinkStore; views: LinkViews }): Route {
  return defineRoute({
    id: 'listEvents',
    method: 'get',
    path: '/api/v1/events',
    summary: 'Changes of links: newest first, or with "after" oldest first for whoever follows them',
    access: 'links:read',
    query: eventsQuery,
    replies: { 200: { description: 'A page of changes.', schema: pageOf(eventView) } },
    async handle({ query }) {
      const question = query.after === undefined ? 'events' : `events after ${query.after}`;
      const position = decodeCursor(question, query.cursor)?.id ?? null;
      const limit = query.limit ?? PAGE_LIMIT_DEFAULT;
      const range = query.after === undefined ? { before: position } : { after: position ?? query.after };
      const events = await store.listEvents({ limit: limit + 1, ...range });
      const shown = events.slice(0, limit);
      const last = events.length > limit ? shown.at(-1) : undefined;
      const next_cursor = last ? encodeCursor(question, { value: 0, id: last.seq }) : null;
      return { status: 200, body: { items: shown.map(views.event), next_cursor } };
    },
  });
}
