/**
 * Errors on their way out. One table maps a code to its status; a client that asks for HTML gets a page, every other a
 * problem document (RFC 9457). What is not an AppError is answered as `internal`: its details stay in the log.
 */

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import accepts from 'accepts';
import { z } from 'zod';
import type { AppError, ErrorCode } from '../kernel/errors.ts';
import { escapeHtml, renderPage } from './pages.ts';

export const STATUS_BY_CODE: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  gone: 410,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
};

export const problemView = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What is wrong and what to do next.' }),
    error: z.string().meta({ description: 'The same sentence.' }),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'The fields at fault.' }),
  })
  .meta({ id: 'Problem' });

export type Problem = z.output<typeof problemView>;

/** Faults listed in one answer: a body can have hundreds of thousands. */
export const FAULTS_MAX = 100;

export function toProblem(error: AppError): Problem {
  const status = STATUS_BY_CODE[error.code];
  const problem = {
    type: `urn:fleetlink:error:${error.code}`,
    title: STATUS_CODES[status] as string,
    status,
    detail: error.message,
    error: error.message,
  };
  return error.faults.length === 0 ? problem : { ...problem, errors: error.faults.slice(0, FAULTS_MAX) };
}

/** Answers with the error, as a page where the client prefers one and `mayBePage` allows it. */
export function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: AppError,
  { mayBePage }: { mayBePage: boolean },
): void {
  const problem = toProblem(error);
  response.statusCode = problem.status;
  response.setHeader('Cache-Control', 'no-store');
  if (error.retryAfterSeconds !== null) response.setHeader('Retry-After', String(error.retryAfterSeconds));
  if (error.allow !== null) response.setHeader('Allow', error.allow.join(', '));
  if (error.code === 'unauthorized') response.setHeader('WWW-Authenticate', 'Bearer realm="fleetlink"');
  // CORS may have named Origin there already.
  if (mayBePage) response.appendHeader('Vary', 'Accept');
  const isPage = mayBePage && accepts(request).type(['json', 'html']) === 'html';
  const body = isPage ? renderError(problem) : JSON.stringify(problem);
  response.setHeader('Content-Type', isPage ? 'text/html; charset=utf-8' : 'application/problem+json');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(request.method === 'HEAD' ? undefined : body);
}

function renderError({ status, title, detail }: Problem): string {
  const body = `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(detail)}</p><small>${status}</small>`;
  return renderPage({ title: `${status} ${title}`, body });
}
