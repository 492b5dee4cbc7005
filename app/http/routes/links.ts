/** `/api/v1/links`: making, finding, changing and deleting links. */

import { hasScope, type Principal } from '../../auth/api-key.ts';
import { AppError, invalid } from '../../kernel/errors.ts';
import { findKeyFault, KEY_PATTERN } from '../../links/key.ts';
import type { Link } from '../../links/link.ts';
import {
  type LinkSchemas,
  linkView,
  listQuery,
  PAGE_LIMIT_DEFAULT,
  purgeQuery,
} from '../../links/link-schema.ts';
import type { LinkService } from '../../links/link-service.ts';
import type { LinkRef, LinkStore } from '../../links/link-store.ts';
import type { LinkViews } from '../../links/link-view.ts';
import type { CreationLimit } from '../creation-limit.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { isCreateOnly, isNotModified, readIfMatch, toEtag } from '../etag.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Reply, type Route } from '../route.ts';

export interface LinkRouteDeps {
  readonly links: LinkService;
  readonly store: LinkStore;
  readonly schemas: LinkSchemas;
  readonly views: LinkViews;
  readonly limitCreation: CreationLimit;
  /** Counts the clicks so far, for whoever reads links; whoever writes one does not wait for it. */
  readonly catchUpClicks: () => Promise<void>;
}

export const LINKS_PATH = '/api/v1/links';
export const LINK_PATH = `${LINKS_PATH}/{key}`;

export function createLinkRoutes(deps: LinkRouteDeps): Route[] {
  const { links, store, schemas, views, limitCreation, catchUpClicks } = deps;
  const reply = async (status: number, link: Link): Promise<Reply> => ({
    status,
    body: await views.link(link),
    headers: { ETag: toEtag(link.version) },
  });
  const created = async (link: Link, isNew: boolean): Promise<Reply> => {
    const { headers, ...rest } = await reply(isNew ? 201 : 200, link);
    return { ...rest, headers: { ...headers, Location: `${LINKS_PATH}/${link.key}` } };
  };
  const shown = { description: 'The link.', schema: linkView, headers: ['ETag'] } as const;
  const made = { description: 'The new link.', schema: linkView, headers: ['ETag', 'Location'] } as const;

  return [
    defineRoute({
      id: 'createLink',
      method: 'post',
      path: LINKS_PATH,
      summary: 'Create a link',
      access: 'links:write',
      body: schemas.draft,
      replies: {
        200: { ...made, description: 'Under KEY_STRATEGY=hash: the link that was there already.' },
        201: made,
      },
      errors: ['conflict', 'rate_limited', 'unavailable'],
      async handle({ body, principal, client }) {
        limitCreation(principal, client, 1);
        const { link, isNew } = await links.create(body, principal.id);
        return created(link, isNew);
      },
    }),

    defineRoute({
      id: 'listLinks',
      method: 'get',
      path: LINKS_PATH,
      summary: 'List and search links',
      access: 'links:read',
      isLong: true,
      query: listQuery,
      replies: {
        200: { description: 'A page. It may be short and yet not the last.', schema: pageOf(linkView) },
      },
      async handle({ query }) {
        const {
          q = null,
          tag = null,
          status = 'live',
          sort = '-created_at',
          limit = PAGE_LIMIT_DEFAULT,
        } = query;
        const question = JSON.stringify([q, tag, status, sort]);
        const after = decodeCursor(question, query.cursor);
        await catchUpClicks();
        const page = await store.listLinks({ q, tag, status, sort, limit, after });
        const next_cursor = page.next === null ? null : encodeCursor(question, page.next);
        return { status: 200, body: { items: await views.links(page.items), next_cursor } };
      },
    }),

    defineRoute({
      id: 'getLink',
      method: 'get',
      path: LINK_PATH,
      summary: 'Read a link',
      access: 'links:read',
      reads: ['If-None-Match'],
      replies: {
        200: shown,
        304: { description: 'The client has this version already.', headers: ['ETag'] },
      },
      errors: ['not_found', 'gone'],
      async handle({ params, headers }) {
        const ref = readRef(params);
        const link = await links.getLink(ref);
        if (link.status === 'deleted' && 'key' in ref) throw gone(link);
        if (isNotModified(headers['if-none-match'], link.version)) {
          return { status: 304, headers: { ETag: toEtag(link.version) } };
        }
        await catchUpClicks();
        return reply(200, link);
      },
    }),

    defineRoute({
      id: 'putLink',
      method: 'put',
      path: LINK_PATH,
      summary:
        'Create a link under this key, or replace what it is; idempotent. With "If-None-Match: *" only create it',
      access: 'links:write',
      body: schemas.put,
      reads: ['If-Match', 'If-None-Match'],
      replies: { 200: { ...made, description: 'The link as it is now.' }, 201: made },
      errors: ['conflict', 'precondition_failed', 'rate_limited', 'unavailable'],
      async handle({ params, body, headers, principal, client }) {
        const key = readNewKey(params);
        const isNewOnly = isCreateOnly(headers);
        const request = { by: principal.id, ifVersion: readIfMatch(headers['if-match']) };
        limitCreation(principal, client, 1);
        if (isNewOnly) {
          const { link } = await links.create({ ...body, key }, principal.id).catch(refuseExisting);
          return created(link, true);
        }
        const { link, isNew } = await links.put(key, body, request);
        return created(link, isNew);
      },
    }),

    defineRoute({
      id: 'patchLink',
      method: 'patch',
      path: LINK_PATH,
      summary: 'Change part of a link',
      access: 'links:write',
      body: schemas.patch,
      reads: ['If-Match'],
      replies: { 200: shown },
      errors: ['not_found', 'gone', 'precondition_failed', 'unavailable'],
      async handle({ params, body, headers, principal }) {
        const request = { by: principal.id, ifVersion: readIfMatch(headers['if-match']) };
        return reply(200, await links.patch(readRef(params), body, request));
      },
    }),

    defineRoute({
      id: 'deleteLink',
      method: 'delete',
      path: LINK_PATH,
      summary: 'Delete a link; its key stays reserved for 30 days',
      access: 'links:write',
      query: purgeQuery,
      reads: ['If-Match'],
      replies: { 204: { description: 'Deleted.' } },
      errors: ['not_found', 'gone', 'precondition_failed', 'unavailable'],
      async handle({ params, query, headers, principal }) {
        const request = { by: principal.id, ifVersion: readIfMatch(headers['if-match']) };
        if (query.purge === 'true') {
          requireAdmin(principal);
          await links.purge(readRef(params), request);
        } else {
          await links.remove(readRef(params), request);
        }
        return { status: 204 };
      },
    }),
  ];
}

/** `autumn` is a key, `id:42` the link with that id whoever has its key. */
export function readRef(params: Readonly<Record<string, string>>): LinkRef {
  const text = params.key as string;
  const id = /^id:(\d{1,15})$/.exec(text)?.[1];
  if (id !== undefined) return { id: Number(id) };
  if (KEY_PATTERN.test(text)) return { key: text };
  throw new AppError('not_found', `There is no link "${text.slice(0, 100)}".`);
}

function readNewKey(params: Readonly<Record<string, string>>): string {
  const key = params.key as string;
  const fault = findKeyFault(key);
  if (fault !== null) throw invalid([fault]);
  return key;
}

/** To a client that says `If-None-Match: *`, a key that is taken is no conflict but what it had asked about. */
function refuseExisting(error: unknown): never {
  if (error instanceof AppError && error.code === 'conflict')
    throw new AppError('precondition_failed', error.message);
  throw error;
}

function requireAdmin(principal: Principal): void {
  if (hasScope(principal, 'admin')) return;
  throw new AppError(
    'forbidden',
    'Only a key with the scope admin may purge. Without purge=true the link is deleted and can be brought back.',
  );
}

function gone({ id, key }: Link): AppError {
  const message = `The link "${key}" is deleted. It can be read as ${LINKS_PATH}/id:${id}, and brought back by reverting it.`;
  return new AppError('gone', message);
}
