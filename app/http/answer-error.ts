/**
 * The last word on errors, for the lane and for Express: logs what is our fault, once, and answers.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Clock } from '../kernel/clock.ts';
import { AppError } from '../kernel/errors.ts';
import { exchangeOf } from './exchange.ts';
import { STATUS_BY_CODE, sendError } from './problem.ts';
import { type HeaderList, setHeaders } from './security-headers.ts';

export type ErrorAnswerer = (request: IncomingMessage, response: ServerResponse, thrown: unknown) => void;

export interface ErrorAnswererDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly securityHeaders: HeaderList;
}

/** What is unavailable is so for thousands of requests a second, and a full disk has no room to say so to each. */
const TELL_EVERY_MS = 1000;

export function createErrorAnswerer({ clock, logger, securityHeaders }: ErrorAnswererDeps): ErrorAnswerer {
  /** By sentence, of which there are few. */
  const untold = new Map<string, { sinceMs: number; requests: number }>();

  /** How many were not told of since the last one; null: nor is this one. */
  function countUntold({ message }: AppError): number | null {
    const nowMs = clock.monotonicMs();
    const last = untold.get(message);
    if (last !== undefined && nowMs - last.sinceMs < TELL_EVERY_MS) {
      last.requests++;
      return null;
    }
    untold.set(message, { sinceMs: nowMs, requests: 0 });
    return last?.requests ?? 0;
  }

  function tell(error: AppError, line: object): void {
    if (error.code === 'internal') {
      logger.error(line, 'request failed');
      return;
    }
    const more = countUntold(error);
    if (more !== null) logger.warn(more === 0 ? line : { ...line, more }, 'request failed');
  }

  return (request, response, thrown) => {
    const { requestId, route } = exchangeOf(request);
    const error = toAppError(thrown);
    if (STATUS_BY_CODE[error.code] >= 500) {
      tell(error, { err: error.cause ?? error, request_id: requestId, route });
    }
    if (response.headersSent) {
      // Half an answer is out; breaking the connection is the only way left to say that it is not whole.
      response.destroy();
      return;
    }
    response.setHeader('X-Request-ID', requestId);
    setHeaders(response, securityHeaders);
    sendError(request, response, error, { mayBePage: !request.url?.startsWith('/api/') });
  };
}

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return fromBodyReader(thrown) ?? internal(thrown);
}

/** What Express and its body reader throw carries a status and a type (https://github.com/expressjs/body-parser#errors). */
function fromBodyReader(thrown: unknown): AppError | null {
  if (!(thrown instanceof Error) || !('status' in thrown)) return null;
  switch (thrown.status) {
    case 400:
      return new AppError('invalid', 'The request is malformed or ended too early.', { cause: thrown });
    case 413:
      return new AppError('too_large', 'The body is too large.', { cause: thrown });
    case 415:
      return new AppError('unsupported_media_type', 'The encoding of the body is not supported.', {
        cause: thrown,
      });
    default:
      return null;
  }
}

function internal(thrown: unknown): AppError {
  const message = 'Something went wrong on our side. The log has the details under this request id.';
  return new AppError('internal', message, { cause: thrown });
}
