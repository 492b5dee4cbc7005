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
    const address = withoutPort(proxyAddr(request, isTrusted));
    return isIP(address) === 0 ? ofConnection(request) : address;
  };
}

/** Some proxies write the port of the connection as well. */
function withoutPort(address: string): string {
  return /^(?:\[(?<v6>[^\]]+)\]|(?<v4>[\d.]+)):\d+$/.exec(address)?.slice(1).find(Boolean) ?? address;
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

/**
 * The country that a trusted proxy names, as Cloudflare and CloudFront do. From anybody else the header is just something that
 * a client wrote.
 */
export function createCountryReader(trusted: readonly string[]): (request: IncomingMessage) => string | null {
  if (trusted.length === 0) return () => null;
  const isTrusted = proxyAddr.compile([...trusted]);
  return ({ socket, headers }) => {
    const country = headers['cf-ipcountry'] ?? headers['cloudfront-viewer-country'];
    if (typeof country !== 'string' || !COUNTRY.test(country)) return null;
    return isTrusted(socket.remoteAddress ?? UNKNOWN, 0) ? country : null;
  };
}

/** ISO 3166-1 alpha-2. Cloudflare's XX (nobody knows) and T1 (Tor) are no countries. */
const COUNTRY = /^(?!XX)[A-Z]{2}$/;
