/**
 * Who the client is: the address of the connection, unless that is a trusted proxy; then the right-most address in
 * X-Forwarded-For that is none. The left-most is what the client wrote itself.
 */

import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import proxyAddr from 'proxy-addr';

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

/** The connection was gone before it was asked. */
const UNKNOWN = 'unknown';
