/**
 * The envelope around every request, lane and Express alike, in plain Node: ids, client address, security headers, the
 * last word on errors, one log line, metrics. Nothing of this is written twice.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Metrics } from '../health/metrics.ts';
import type { Clock } from '../kernel/clock.ts';
import { AppError } from '../kernel/errors.ts';
import type { ErrorAnswerer } from './answer-error.ts';
import { attachExchange, type Exchange, exchangeOf, UNMATCHED_ROUTE } from './exchange.ts';
import { REDIRECT_ROUTE, type RedirectLane } from './redirect-lane.ts';
import type { RequestLog } from './request-log.ts';
import { type HeaderList, setHeaders } from './security-headers.ts';
import { readRequestIds } from './trace.ts';

export interface EnvelopeDeps {
  readonly clock: Clock;
  /** Null: lines of requests are below the level that is logged. */
  readonly logRequest: RequestLog | null;
  readonly metrics: Metrics;
  /** Told of each answer to a request for a key. */
  readonly observeRedirect: (status: number, seconds: number) => void;
  readonly securityHeaders: HeaderList;
  readonly answerError: ErrorAnswerer;
  readonly readClientAddress: (request: IncomingMessage) => string;
  /** What answers first; null on a port without redirects. */
  readonly lane: RedirectLane | null;
  /** What answers the rest. */
  readonly app: RequestListener;
}

export interface Envelope {
  readonly handle: RequestListener;
  /** Runs once the answer is written, or the client is gone. */
  readonly onClosed: (request: IncomingMessage, response: ServerResponse) => void;
}

export function createEnvelope(deps: EnvelopeDeps): Envelope {
  const { clock, logRequest, metrics, observeRedirect, securityHeaders, answerError, readClientAddress } =
    deps;
  const { lane, app } = deps;

  return { handle: serve, onClosed };

  function openExchange(request: IncomingMessage): Exchange {
    const startedAt = performance.now();
    const { requestId, traceId } = readRequestIds(request.headers, randomUUID());
    const clientAddress = readClientAddress(request);
    const exchange: Exchange = { requestId, traceId, clientAddress, startedAt, route: UNMATCHED_ROUTE };
    attachExchange(request, exchange);
    return exchange;
  }

  /** Nothing is awaited where the lane answers at once. */
  function serve(request: IncomingMessage, response: ServerResponse): void {
    const exchange = openExchange(request);
    try {
      request.url = toOriginForm(request.url as string);
      requireHost(request);
      const answered = lane?.(request, response, exchange) ?? false;
      if (answered === true) return;
      if (answered === false) passOn(request, response, exchange);
      else answered.catch((error: unknown) => answerError(request, response, error));
    } catch (error) {
      answerError(request, response, error);
    }
  }

  function passOn(request: IncomingMessage, response: ServerResponse, exchange: Exchange): void {
    response.setHeader('X-Request-ID', exchange.requestId);
    setHeaders(response, securityHeaders);
    app(request, response);
  }

  /** A client that is gone before its answer counts as 499, as nginx has it. */
  function onClosed(request: IncomingMessage, response: ServerResponse): void {
    const exchange = exchangeOf(request);
    const durationMs = performance.now() - exchange.startedAt;
    const status = response.writableFinished ? response.statusCode : 499;
    const { route } = exchange;
    const method = request.method as string;
    metrics.countRequest({ route, method: METHODS.has(method) ? method : 'other', status });
    metrics.requestDuration.observe(durationMs / 1000, route);
    if (route === REDIRECT_ROUTE) {
      observeRedirect(status, durationMs / 1000);
      if (status >= 300 && status < 400) metrics.redirectDuration.observe(durationMs / 1000);
    }
    const { requestId, traceId } = exchange;
    const path = readPath(request.url as string);
    logRequest?.({ timeMs: clock.nowMs(), method, path, route, status, durationMs, requestId, traceId });
  }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** A query may hold what is nobody's business, so the log has the path alone. */
function readPath(url: string): string {
  const end = url.indexOf('?');
  return end === -1 ? url : url.slice(0, end);
}

/** A client may send the whole URL, as to a proxy (RFC 9112, section 3.2.2); its host is judged no more than Host is. */
function toOriginForm(url: string): string {
  if (url.startsWith('/')) return url;
  if (!ABSOLUTE_FORM.test(url)) throw new AppError('invalid', 'The request target is not valid.');
  return url.replace(ABSOLUTE_FORM, '/');
}

const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*\/?/i;

/** RFC 9112, section 3.2. Node's own check would answer without our headers, and keeps the first of two. */
function requireHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') count++;
  }
  if (count === 1 || (count === 0 && httpVersion !== '1.1')) return;
  throw new AppError(
    'invalid',
    count === 0 ? 'The Host header is missing.' : 'The Host header is given twice.',
  );
}
