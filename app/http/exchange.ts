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

const exchanges = new WeakMap<IncomingMessage, Exchange>();

export function attachExchange(request: IncomingMessage, exchange: Exchange): void {
  exchanges.set(request, exchange);
}

export function exchangeOf(request: IncomingMessage): Exchange {
  const exchange = exchanges.get(request);
  if (exchange === undefined) throw new Error('The request did not come through the envelope.');
  return exchange;
}
