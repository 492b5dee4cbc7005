/**
 * The security headers of every answer: helmet decides them once at start, because they never depend on a request.
 */

import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from 'helmet';

/** Name and value by turns, as `response.writeHead` takes them. */
export type HeaderList = readonly string[];

export interface SecurityOptions {
  /** People reach the service over https, so it may insist on it. */
  readonly isHttps: boolean;
  /** The inline style sheets of our pages: allowed by hash, so that nothing needs `unsafe-inline`. */
  readonly styles: readonly string[];
}

export function createSecurityHeaders({ isHttps, styles }: SecurityOptions): HeaderList {
  const collected = new Map<string, string>();
  const collector = {
    setHeader: (name: string, value: string) => collected.set(name, value),
    removeHeader: (name: string) => collected.delete(name),
  };
  const apply = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'", ...styles.map(toHashSource)],
        imgSrc: ["'self'", 'data:'],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Not of the subdomains: whoever owns the short domain may serve other things there.
    strictTransportSecurity: isHttps && { includeSubDomains: false },
    // A target may be embedded or opened by whoever linked to it; that is not ours to forbid.
    crossOriginResourcePolicy: false,
    crossOriginOpenerPolicy: false,
    xFrameOptions: { action: 'deny' },
  });
  apply({} as IncomingMessage, collector as unknown as ServerResponse, () => undefined);
  return [...collected].flat();
}

/**
 * The few that mean something for an answer without a body. Referrer-Policy would even do harm there: it would hide from
 * the target where its visitors come from (https://www.w3.org/TR/referrer-policy/#set-requests-referrer-policy-on-redirect).
 */
export function pickForRedirects(headers: HeaderList): HeaderList {
  return headers.filter((_, index) => REDIRECT_HEADERS.has(headers[index - (index % 2)] as string));
}

const REDIRECT_HEADERS: ReadonlySet<string> = new Set([
  'Strict-Transport-Security',
  'X-Content-Type-Options',
]);

export function setHeaders(response: ServerResponse, headers: HeaderList): void {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    response.setHeader(headers[index] as string, headers[index + 1] as string);
  }
}

function toHashSource(style: string): string {
  return `'sha256-${createHash('sha256').update(style).digest('base64')}'`;
}
