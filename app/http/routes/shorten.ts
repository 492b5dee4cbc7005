/** `POST /shorten`: the shortest way to a short link. */

import type { LinkSchemas } from '../../links/link-schema.ts';
import { shortenedView } from '../../links/link-schema.ts';
import type { LinkService } from '../../links/link-service.ts';
import type { LinkViews } from '../../links/link-view.ts';
import type { CreationLimit } from '../creation-limit.ts';
import { defineRoute, type Route } from '../route.ts';

export interface ShortenDeps {
  readonly links: LinkService;
  readonly schemas: LinkSchemas;
  readonly views: LinkViews;
  readonly limitCreation: CreationLimit;
  /** Whether it works without an API key. */
  readonly isAnonymousAllowed: boolean;
}

export function createShortenRoute(deps: ShortenDeps): Route {
  const { links, schemas, views, limitCreation, isAnonymousAllowed } = deps;
  return defineRoute({
    id: 'shorten',
    method: 'post',
    path: '/shorten',
    summary: isAnonymousAllowed ? 'Shorten a URL, with or without an API key' : 'Shorten a URL',
    access: isAnonymousAllowed ? 'anonymous' : 'links:write',
    body: schemas.shorten,
    replies: { 201: { description: 'The short link.', schema: shortenedView, headers: ['Location'] } },
    errors: [
      'conflict',
      'unavailable',
      'rate_limited',
      ...(isAnonymousAllowed ? (['unauthorized', 'forbidden'] as const) : []),
    ],
    async handle({ body: draft, principal, client }) {
      limitCreation(principal, client, 1);
      const { link } = await links.create(draft, principal.id);
      const body = views.shortened(link);
      return { status: 201, body, headers: { Location: body.short_url } };
    },
  });
}
