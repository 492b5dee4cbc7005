/**
 * Requests that never become one: Node's parser gives up before there is a response object, so the answer is written by
 * hand. It has the same shape and headers as every other.
 */

import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Metrics } from '../health/metrics.ts';
import { UNMATCHED_ROUTE } from './exchange.ts';
import type { Problem } from './problem.ts';
import type { HeaderList } from './security-headers.ts';

export interface ClientErrorDeps {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly securityHeaders: HeaderList;
}

/** How long a client may take to read the answer and close. Closing at once would reset it, and the answer with it. */
const LINGER_MS = 1000;

export function createClientErrorHandler({ logger, metrics, securityHeaders }: ClientErrorDeps) {
  return (error: NodeJS.ErrnoException, socket: Duplex): void => {
    // The client hung up: nobody is left to answer.
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const { status, code, sentence } = judge(error.code);
    const requestId = randomUUID();
    metrics.countRequest({ route: UNMATCHED_ROUTE, method: 'other', status });
    logger.info(
      { route: UNMATCHED_ROUTE, status, request_id: requestId, reason: error.code },
      'malformed request',
    );
    const title = STATUS_CODES[status] as string;
    const type = `urn:fleetlink:error:${code}`;
    const body = JSON.stringify({ type, title, status, detail: sentence, error: sentence } satisfies Problem);
    const headers = [
      ...['Content-Type', 'application/problem+json', 'Content-Length', String(Buffer.byteLength(body))],
      ...['X-Request-ID', requestId, 'Cache-Control', 'no-store', 'Connection', 'close'],
      ...securityHeaders,
    ];
    const lines = headers.map((text, index) => text + (index % 2 === 0 ? ': ' : '\r\n')).join('');
    socket.end(`HTTP/1.1 ${status} ${title}\r\n${lines}\r\n${body}`);
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  };
}

function judge(reason: string | undefined): { status: number; code: string; sentence: string } {
  switch (reason) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, code: 'headers_too_large', sentence: 'The headers are larger than 16 kB.' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, code: 'request_timeout', sentence: 'The request came too slowly.' };
    default:
      return { status: 400, code: 'invalid', sentence: 'This is not a valid HTTP request.' };
  }
}
