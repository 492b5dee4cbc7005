/**
 * The last word on errors, for the lane and for Express: logs what is our fault, once, and answers.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { AppError } from '../kernel/errors.ts';
import { exchangeOf } from './exchange.ts';
import { STATUS_BY_CODE, sendError } from './problem.ts';
import { type HeaderList, setHeaders } from './security-headers.ts';

export type ErrorAnswerer = (request: IncomingMessage, response: ServerResponse, thrown: unknown) => void;

export interface ErrorAnswererDeps {
  readonly logger: Logger;
  readonly securityHeaders: HeaderList;
}

export function createErrorAnswerer({ logger, securityHeaders }: ErrorAnswererDeps): ErrorAnswerer {
  return (request, response, thrown) => {
    const { requestId, route } = exchangeOf(request);
    const error = toAppError(thrown);
    if (STATUS_BY_CODE[error.code] >= 500) {
      const level = error.code === 'internal' ? 'error' : 'warn';
      logger[level]({ err: error.cause ?? error, request_id: requestId, route }, 'request failed');
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
