/**
 * What may be a target. The rules are judged on the raw text, because a URL parser repairs what it reads: `https:/x.com`
 * and `http:///x` would both come out as a link to x (WHATWG URL, "special authority slashes state"). Only a text that
 * passes is parsed, which normalises the host (IDNA, letter case) and escapes what a Location header cannot carry.
 */

export const TARGET_LENGTH_MAX = 8192;

export type TargetResult = { readonly url: string } | { readonly fault: string };

/** Reads a target as given by a client. `self` tells whether a normalised URL leads back to this service. */
export function parseTarget(raw: string, self: (url: URL) => boolean): TargetResult {
  const fault = findRawFault(raw);
  if (fault !== null) return { fault };
  const url = parseUrl(raw);
  if (url === null) return { fault: 'the host or port is not valid' };
  if (url.href.length > TARGET_LENGTH_MAX) return { fault: LENGTH_FAULT };
  if (self(url)) return { fault: 'a link to this service itself would lead in circles' };
  return { url: url.href };
}

/**
 * Whether a URL leads to the service at `baseUrl`. Loopback names are one host, as both reach the same process; a
 * trailing dot is the same name in DNS (RFC 1034, section 3.1).
 */
export function createSelfCheck(baseUrl: string): (url: URL) => boolean {
  const base = new URL(baseUrl);
  const baseHost = canonicalHost(base.hostname);
  return (url) => canonicalHost(url.hostname) === baseHost && effectivePort(url) === effectivePort(base);
}

const LENGTH_FAULT = `expected at most ${TARGET_LENGTH_MAX} characters`;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this refuses.
const CONTROL_OR_SPACE = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff]/;
const AUTHORITY = /^https?:\/\/([^/?#]*)/i;
const LONE_SURROGATE = /\p{Surrogate}/u;

function findRawFault(raw: string): string | null {
  if (raw.length > TARGET_LENGTH_MAX) return LENGTH_FAULT;
  if (CONTROL_OR_SPACE.test(raw))
    return 'spaces and control characters are not allowed; write a space as %20';
  if (LONE_SURROGATE.test(raw)) return 'the text is not valid Unicode';
  const authority = AUTHORITY.exec(raw)?.[1];
  if (authority === undefined) return 'expected a URL that starts with http:// or https://';
  if (authority.includes('@')) return 'a user name or password in the URL is not allowed';
  if (/^(?::\d*)?$/.test(authority)) return 'the host is missing';
  if (raw.split(/[?#]/, 1)[0]?.includes('\\')) return 'a backslash is not allowed; write it as %5C';
  return null;
}

function parseUrl(raw: string): URL | null {
  return URL.canParse(raw) ? new URL(raw) : null;
}

function canonicalHost(hostname: string): string {
  const host = hostname.toLowerCase().replace(/\.$/, '');
  return LOOPBACK.test(host) ? 'localhost' : host;
}

/** Names under localhost included (RFC 6761, section 6.3), and the address that stands for all of a machine's. */
const LOOPBACK =
  /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\]|\[::ffff:(?:7f[0-9a-f]{2}:[0-9a-f]{1,4}|0:0)\])$/;

/** Port 80 and port 443 of one name are one service: the first sends people to the second. */
function effectivePort(url: URL): string {
  return url.port === '80' || url.port === '443' ? '' : url.port;
}
