/**
 * What is known of one request besides its bytes: who asks, under which id, since when, and which route answers. The
 * envelope makes it; whoever has the request can ask for it.
 */

import type { IncomingMessage } from 'node:http';

export interface Exchange {
  readonly requestId: string;
  /** 32 hexadecimal digits (https://www.w3.org/TR/trace-context/), continued from the client when it sent one. */
  readonly traceId: string;
  /** The right-most address that is no trusted proxy. */
  readonly clientAddress: string;
  /** From `performance.now()`. */
  readonly startedAt: number;
  /** The pattern of the route, such as `/api/v1/links/{key}`: one of a closed set, for logs and metrics. */
  route: string;
}

/** The route of a request that nothing owns. */
export const UNMATCHED_ROUTE = 'unmatched';

/** A symbol on the request and not a WeakMap: at 30,000 requests a second the map's entries are work for the collector. */
const EXCHANGE = Symbol('exchange');

interface WithExchange {
  [EXCHANGE]: Exchange;
}

export function attachExchange(request: IncomingMessage, exchange: Exchange): void {
  (request as IncomingMessage & WithExchange)[EXCHANGE] = exchange;
}

/** Of a request that came through the envelope, as all do. */
export function exchangeOf(request: IncomingMessage): Exchange {
  return (request as IncomingMessage & WithExchange)[EXCHANGE];
}
