/**
 * A route is data: where it is, who may call it, what it reads and answers, and the function that does it. The same list is
 * mounted on Express and printed as the OpenAPI document, so that the two cannot disagree.
 *
 * A request passes: authenticate → body → query and body against their schemas → handle. Only then is anything done.
 */

import type { IncomingHttpHeaders } from 'node:http';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { hasScope, type Principal, type Scope } from '../auth/api-key.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { LongReads } from '../guard/long-reads.ts';
import { toClientId } from '../guard/rate-limit.ts';
import { AppError, type ErrorCode, type FieldFault, invalid } from '../kernel/errors.ts';
import { exchangeOf } from './exchange.ts';
import { parseJsonBody } from './json-body.ts';
import { FAULTS_MAX } from './problem.ts';

/** `public`: anybody · `anonymous`: anybody, but a key is read when one is sent · a scope: only who has it. */
export type Access = 'public' | 'anonymous' | Scope;

export interface RouteRequest<Query, Body> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly headers: IncomingHttpHeaders;
  readonly principal: Principal;
  /** For counting: the address, or its network. */
  readonly client: string;
}

export interface Reply {
  readonly status: number;
  /** Sent as JSON unless `type` says that it is a text of another kind; none: an empty answer. */
  readonly body?: unknown;
  readonly type?: string;
  /** In place of a body: pieces of text of `type`, each made when the client has room for it; a HEAD makes none. */
  readonly stream?: AsyncIterable<string>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ReplyDoc {
  readonly description: string;
  /** Of a JSON body; none: the answer is empty or of `type`. */
  readonly schema?: z.ZodType;
  readonly type?: string;
  readonly headers?: readonly ('ETag' | 'Location' | 'Content-Disposition')[];
}

export interface Route {
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** With `{name}` for a variable segment, as OpenAPI writes it. */
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly query: z.ZodType;
  readonly body: z.ZodType | null;
  /** What the document says of the body, where that is more than `body` checks. */
  readonly bodyDoc?: z.ZodType;
  readonly bodyBytesMax: number;
  /** Headers that it reads, for the document. */
  readonly reads: readonly ('If-Match' | 'If-None-Match')[];
  readonly replies: Readonly<Record<number, ReplyDoc>>;
  /** Beyond what every route can answer. */
  readonly errors: readonly ErrorCode[];
  /** Reads so much that few may at a time. */
  readonly isLong: boolean;
  handle(request: RouteRequest<unknown, unknown>): Promise<Reply>;
}

const NO_QUERY = z.strictObject({});
export const BODY_BYTES_MAX = 64 * 1024;

interface RouteSpec<Q extends z.ZodType, B extends z.ZodType> {
  id: string;
  method: Route['method'];
  path: string;
  summary: string;
  access: Access;
  query?: Q;
  body?: B;
  bodyDoc?: z.ZodType;
  bodyBytesMax?: number;
  reads?: Route['reads'];
  replies: Route['replies'];
  errors?: readonly ErrorCode[];
  isLong?: boolean;
  handle(request: RouteRequest<z.output<Q>, z.output<B>>): Promise<Reply> | Reply;
}

/** Makes a route whose handler knows the types that its schemas give. */
export function defineRoute<Q extends z.ZodType = typeof NO_QUERY, B extends z.ZodType = z.ZodUndefined>(
  spec: RouteSpec<Q, B>,
): Route {
  const { query, body, bodyDoc, bodyBytesMax, reads, errors = [], isLong = false, handle, ...rest } = spec;
  return {
    ...rest,
    query: query ?? NO_QUERY,
    body: body ?? null,
    ...(bodyDoc && { bodyDoc }),
    bodyBytesMax: bodyBytesMax ?? BODY_BYTES_MAX,
    reads: reads ?? [],
    errors: isLong ? [...errors, 'unavailable'] : errors,
    isLong,
    handle: async (request) => handle(request as RouteRequest<z.output<Q>, z.output<B>>),
  };
}

export interface MountDeps {
  readonly authenticate: Authenticator;
  readonly longReads: LongReads;
}

/** Mounts the routes, and for each path an answer to the methods that it does not have. */
export function mountRoutes(app: Express, routes: readonly Route[], deps: MountDeps): void {
  for (const route of routes) app[route.method](toExpressPath(route.path), toHandler(route, deps));
  for (const path of new Set(routes.map((route) => route.path))) {
    app.all(toExpressPath(path), refuseMethod(path, routes));
  }
}

function toHandler(route: Route, { authenticate, longReads }: MountDeps): RequestHandler {
  const readBytes = express.raw({ type: () => true, limit: route.bodyBytesMax });
  return async (request, response) => {
    const exchange = exchangeOf(request);
    exchange.route = route.path;
    const client = toClientId(exchange.clientAddress);
    const principal = await identify(request, route.access, client, authenticate);
    const faults: FieldFault[] = [];
    const query = check(route.query, readQuery(request.url, faults), faults);
    const body = route.body && check(route.body, await readJson(request, response, readBytes), faults);
    if (faults.length > 0) throw invalid(faults);
    const { params, headers } = request;
    const handle = () =>
      route.handle({
        params: params as Record<string, string>,
        query,
        body,
        headers,
        principal,
        client,
      });
    const reply = await (route.isLong ? longReads.run(handle, () => !response.destroyed) : handle());
    if (reply === null) return;
    if (reply.stream === undefined) send(response, reply);
    else await sendStream(response, reply, longReads.inPieces(reply.stream));
  };
}

async function identify(
  request: Request,
  access: Access,
  client: string,
  authenticate: Authenticator,
): Promise<Principal> {
  const secret = access === 'public' ? null : readSecret(request.headers);
  const principal = await authenticate(secret, client);
  if (access === 'public' || access === 'anonymous') return principal;
  if (secret === null) {
    throw new AppError('unauthorized', 'An API key is needed. Send it as "Authorization: Bearer <key>".');
  }
  if (!hasScope(principal, access))
    throw new AppError('forbidden', `The API key does not have the scope ${access}.`);
  return principal;
}

function readSecret({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  if (authorization !== undefined) {
    const secret = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (secret === undefined) {
      throw new AppError(
        'unauthorized',
        'The Authorization header is malformed. Expected "Authorization: Bearer <key>".',
      );
    }
    return secret;
  }
  return typeof apiKey === 'string' && apiKey !== '' ? apiKey : null;
}

/** A name given twice has no one meaning. */
function readQuery(url: string, faults: FieldFault[]): Record<string, string> {
  const query: Record<string, string> = Object.create(null);
  const at = url.indexOf('?');
  for (const [name, value] of new URLSearchParams(at === -1 ? '' : url.slice(at))) {
    if (name in query) faults.push({ field: name, message: 'is given twice' });
    query[name] = value;
  }
  return query;
}

async function readJson(request: Request, response: Response, readBytes: RequestHandler): Promise<unknown> {
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/(?:[\w.+-]+\+)?json *(?:;|$)/i.test(type)) {
    throw new AppError(
      'unsupported_media_type',
      'Expected a JSON body with "Content-Type: application/json".',
    );
  }
  await new Promise<void>((resolve, reject) => {
    void readBytes(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  // Without a body Express leaves it undefined, which is no JSON either.
  const bytes: unknown = request.body;
  return parseJsonBody(bytes instanceof Uint8Array ? bytes : new Uint8Array());
}

/** Adds what is wrong to `faults`; the value counts only when nothing is. */
export function check<T extends z.ZodType>(
  schema: T,
  value: unknown,
  faults: FieldFault[],
  prefix = '',
): z.output<T> {
  const result = schema.safeParse(value, { error: explainIssue });
  for (const issue of result.error?.issues ?? []) {
    for (const fault of toFaults(issue, prefix)) {
      if (faults.length < FAULTS_MAX) faults.push(fault);
    }
  }
  return result.data as z.output<T>;
}

/** Names that a client made up are shown to this length. */
const NAME_LENGTH_MAX = 100;

function explainIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== 'invalid_type') return undefined;
  return issue.input === undefined ? 'is required' : `expected ${issue.expected}`;
}

function toFaults(issue: z.core.$ZodIssue, prefix: string): FieldFault[] {
  const path = issue.path.reduce<string>(joinPath, prefix);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, FAULTS_MAX).map((name) => ({
      field: joinPath(path, name.slice(0, NAME_LENGTH_MAX)),
      message: 'is not a known field',
    }));
  }
  return [{ field: path === '' ? 'body' : path, message: issue.message }];
}

function joinPath(path: string, part: PropertyKey): string {
  if (typeof part === 'number') return `${path}[${part}]`;
  return path === '' ? String(part) : `${path}.${String(part)}`;
}

function setHead(response: Response, { status, headers }: Reply): void {
  response.status(status);
  response.setHeader('Cache-Control', 'no-store');
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
}

function send(response: Response, reply: Reply): void {
  const { body, type } = reply;
  setHead(response, reply);
  if (body === undefined) {
    response.end();
    return;
  }
  const text = type === undefined ? JSON.stringify(body) : String(body);
  response.setHeader('Content-Type', type ?? 'application/json');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

/**
 * The first piece comes before the headers, so that what fails at once is answered as an error; what fails later breaks the
 * connection. The client sets the pace; one that is gone ends the making of pieces.
 */
async function sendStream(response: Response, reply: Reply, stream: AsyncIterable<string>): Promise<void> {
  const pieces = stream[Symbol.asyncIterator]();
  const isHead = response.req.method === 'HEAD';
  try {
    let piece = isHead ? DONE : await pieces.next();
    setHead(response, reply);
    response.setHeader('Content-Type', reply.type as string);
    while (piece.done !== true && !response.destroyed) {
      if (!response.write(piece.value)) await hasRoom(response);
      piece = await pieces.next();
    }
    response.end();
  } finally {
    await pieces.return?.();
  }
}

const DONE: IteratorResult<string> = { done: true, value: undefined };

/** Or is gone: whoever does not take its answer is cut by the listener. */
function hasRoom(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off('drain', settle).off('close', settle);
      resolve();
    };
    response.on('drain', settle).on('close', settle);
  });
}

function refuseMethod(path: string, routes: readonly Route[]): RequestHandler {
  const methods = routes.filter((route) => route.path === path).map(({ method }) => method.toUpperCase());
  const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
  return (request, response) => {
    exchangeOf(request).route = path;
    if (request.method === 'OPTIONS') {
      response.status(204).setHeader('Allow', allow.join(', ')).end();
      return;
    }
    throw new AppError('method_not_allowed', `${path} has ${allow.join(', ')}, not ${request.method}.`, {
      allow,
    });
  };
}

/** `/api/v1/links:batch` → `/api/v1/links\:batch` · `/links/{key}` → `/links/:key` */
function toExpressPath(path: string): string {
  return path.replaceAll(':', '\\:').replace(/\{(\w+)\}/g, ':$1');
}
