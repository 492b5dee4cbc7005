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

export interface ClientErrorDeps {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function createClientErrorHandler({ logger, metrics }: ClientErrorDeps) {
  return (error: NodeJS.ErrnoException, socket: Duplex): void => {
    // The client hung up: nobody is left to answer.
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const { status, sentence } = judge(error.code);
    const requestId = randomUUID();
    metrics.countRequest({ route: UNMATCHED_ROUTE, method: 'other', status });
    logger.info(
      { route: UNMATCHED_ROUTE, status, request_id: requestId, reason: error.code },
      'malformed request',
    );
    const body = JSON.stringify({
      type: 'urn:fleetlink:error:invalid',
      title: STATUS_CODES[status],
      status,
      detail: sentence,
      error: sentence,
    });
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\nContent-Length: ` +
        `${Buffer.byteLength(body)}\r\nX-Request-ID: ${requestId}\r\nX-Content-Type-Options: nosniff\r\n` +
        `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
    );
  };
}

function judge(code: string | undefined): { status: number; sentence: string } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, sentence: 'The headers are larger than 16 kB.' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, sentence: 'The request came too slowly.' };
    default:
      return { status: 400, sentence: 'This is not a valid HTTP request.' };
  }
}
