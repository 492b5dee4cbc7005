/**
 * The OpenAPI 3.1 document, made of the routes themselves: what is mounted is what is described.
 */

import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import type { ErrorCode } from '../kernel/errors.ts';
import { problemView, STATUS_BY_CODE } from './problem.ts';
import { defineRoute, type Reply, type ReplyDoc, type Route } from './route.ts';

export interface OpenApiOptions {
  readonly baseUrl: string;
  /** Of the release. */
  readonly version: string;
}

/** The route that serves the document, itself included. */
export function createOpenApiRoute(routes: readonly Route[], options: OpenApiOptions): Route {
  const described: Route[] = [...routes];
  const route = defineRoute({
    id: 'openapi',
    method: 'get',
    path: '/api/openapi.json',
    summary: 'This document',
    access: 'public',
    replies: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
    handle: (): Reply => ({ status: 200, body: document(), type: 'application/json' }),
  });
  described.push(route);
  const document = once(() => JSON.stringify(createOpenApiDocument(described, options)));
  return route;
}

export function createOpenApiDocument(routes: readonly Route[], { baseUrl, version }: OpenApiOptions) {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: describe(route) };
  }
  paths['/{key}'] = REDIRECT_PATH;
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Fleetlink',
      version,
      description:
        'Short links. Every answer carries X-Request-ID; every error is a problem document (RFC 9457).',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: baseUrl }],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
    paths,
  });
}

/** What any route may answer before its handler runs. */
const ERRORS_OF_ANY: readonly ErrorCode[] = ['invalid', 'too_large', 'internal'];
const ERRORS_WITH_BODY: readonly ErrorCode[] = ['unsupported_media_type'];
const ERRORS_WITH_KEY: readonly ErrorCode[] = ['unauthorized', 'forbidden', 'rate_limited', 'unavailable'];

function describe(route: Route): ZodOpenApiOperationObject {
  const { id, summary, access, query, body, bodyDoc, reads } = route;
  return {
    operationId: id,
    summary,
    security: securityOf(access),
    requestParams: {
      path: z.object(Object.fromEntries(pathNames(route.path).map((name) => [name, z.string()]))),
      query: query as z.ZodObject,
      header: z.object(Object.fromEntries(reads.map((name) => [name, z.string().optional()]))),
    },
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: bodyDoc ?? body } } },
    }),
    responses: { ...problemsOf(route.path, errorsOf(route)), ...responsesOf(route) },
  };
}

/** The scope stands as a role of the key, as OpenAPI 3.1 has it for schemes that are not OAuth. */
function securityOf(access: Route['access']) {
  if (access === 'public') return [];
  const scopes = [access === 'anonymous' ? 'links:write' : access];
  const keyed = [{ bearer: scopes }, { apiKey: scopes }];
  return access === 'anonymous' ? [{}, ...keyed] : keyed;
}

function errorsOf({ access, body, errors }: Route): ErrorCode[] {
  return [
    ...ERRORS_OF_ANY,
    ...(body ? ERRORS_WITH_BODY : []),
    ...(access === 'public' ? [] : ERRORS_WITH_KEY),
    ...errors,
  ];
}

function responsesOf({ replies }: Route): ZodOpenApiResponsesObject {
  return Object.fromEntries(Object.entries(replies).map(([status, reply]) => [status, toResponse(reply)]));
}

function toResponse({ description, schema, type, headers }: ReplyDoc) {
  const content = type ? { [type]: { schema: z.string() } } : schema && { 'application/json': { schema } };
  const documented = Object.fromEntries(
    (headers ?? []).map((name) => [name, { schema: { type: 'string' as const } }]),
  );
  return { description, headers: documented, ...(content && { content }) };
}

/** Outside the API a browser that prefers HTML gets a page with the same words. */
function problemsOf(path: string, codes: readonly ErrorCode[]): ZodOpenApiResponsesObject {
  const page = path.startsWith('/api/') ? {} : { 'text/html; charset=utf-8': { schema: z.string() } };
  const problem = { content: { 'application/problem+json': { schema: problemView }, ...page } };
  return Object.fromEntries(
    codes.map((code) => [
      STATUS_BY_CODE[code],
      { description: STATUS_CODES[STATUS_BY_CODE[code]] as string, ...problem },
    ]),
  );
}

/** The redirect lane is no route of Express; it is described here. */
const REDIRECT_RESPONSES: ZodOpenApiResponsesObject = {
  ...Object.fromEntries(
    [301, 302, 307, 308].map((status) => [
      status,
      {
        description: 'To the target; 302 unless the link says otherwise.',
        headers: { Location: { schema: { type: 'string' } } },
      },
    ]),
  ),
  ...problemsOf('/{key}', ['invalid', 'not_found', 'gone', 'internal', 'unavailable']),
};

const REDIRECT_PATH = {
  get: redirectOperation('followLink', 'Follow a link'),
  head: redirectOperation('inspectLink', 'The same headers'),
};

function redirectOperation(operationId: string, summary: string): ZodOpenApiOperationObject {
  return {
    operationId,
    summary,
    security: [],
    requestParams: { path: z.object({ key: z.string() }) },
    responses: REDIRECT_RESPONSES,
  };
}

function pathNames(path: string): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
