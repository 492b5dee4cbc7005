/**
 * Who the client is: the address of the connection, unless that is a trusted proxy; then the right-most address in
 * X-Forwarded-For that is none. The left-most is what the client wrote itself. A connection is told apart before it has
 * sent anything, so it counts for its address alone.
 */

import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import proxyAddr from 'proxy-addr';
import { toClientId } from '../guard/rate-limit.ts';

export function createClientAddressReader(trusted: readonly string[]): (request: IncomingMessage) => string {
  const ofConnection = (request: IncomingMessage): string => request.socket.remoteAddress ?? UNKNOWN;
  if (trusted.length === 0) return ofConnection;
  const isTrusted = proxyAddr.compile([...trusted]);
  return (request) => {
    if (request.socket.remoteAddress === undefined) return UNKNOWN;
    const address = proxyAddr(request, isTrusted);
    return isIP(address) === 0 ? ofConnection(request) : address;
  };
}

/** Whom a connection from an address counts for. Null, nobody: many people arrive through a trusted proxy. */
export function createConnectionClientReader(
  trusted: readonly string[],
): (address: string | undefined) => string | null {
  const isTrusted = proxyAddr.compile([...trusted]);
  return (address = UNKNOWN) => (isTrusted(address, 0) ? null : toClientId(address));
}

/** The connection was gone before it was asked. */
const UNKNOWN = 'unknown';
