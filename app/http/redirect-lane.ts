/**
 * The redirect lane: what the service exists for, in front of Express. It owns every path that is one key and nothing else;
 * what it does not own it leaves untouched.
 *
 *   GET /autumn ─▶ is this a key? ─▶ find the link ─▶ expired, disabled, deleted? ─▶ 302
 *                      │ no                │ none               │ yes
 *                      ▼                   ▼                    ▼
 *                   Express               404                  410
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../kernel/clock.ts';
import { AppError } from '../kernel/errors.ts';
import { isUsableKey } from '../links/key.ts';
import { decideRedirect, type RedirectFacts } from '../links/link.ts';
import type { LinkStore } from '../links/link-store.ts';
import type { ErrorAnswerer } from './answer-error.ts';
import { type Exchange, exchangeOf } from './exchange.ts';
import type { HeaderList } from './security-headers.ts';

export const REDIRECT_ROUTE = '/{key}';

export interface RedirectLaneDeps {
  readonly lookup: LinkStore['lookup'];
  readonly clock: Clock;
  /** Those that a redirect needs. */
  readonly securityHeaders: HeaderList;
  readonly answerError: ErrorAnswerer;
}

/** Answers the request and returns true, or returns false and has touched nothing. Throws AppErrors for the envelope. */
export type RedirectLane = (
  request: IncomingMessage,
  response: ServerResponse,
  exchange: Exchange,
) => boolean | Promise<true>;

export function createRedirectLane({
  lookup,
  clock,
  securityHeaders,
  answerError,
}: RedirectLaneDeps): RedirectLane {
  let turn: Redirect[] = [];

  return (request, response, exchange) => {
    const key = readKey(request.url as string);
    if (key === null) return false;
    exchange.route = REDIRECT_ROUTE;
    requireReading(request.method);
    const found = lookup(key);
    if (found instanceof Promise) return found.then((link) => answer(request, response, key, link));
    return answer(request, response, key, found);
  };

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    key: string,
    link: RedirectFacts | null,
  ): true {
    if (link === null)
      throw new AppError('not_found', `There is no link "${key}" here. Check how it is spelled.`);
    const decision = decideRedirect(link, clock.nowMs());
    if (decision !== 'redirect') throw new AppError('gone', GONE_SENTENCES[decision]);
    turn.push({ request, response, link });
    if (turn.length === 1) setImmediate(sendTurn);
    return true;
  }

  /** The answers of a turn leave together: the first one wakes the other side, the rest find it awake. */
  function sendTurn(): void {
    const answers = turn;
    turn = [];
    for (const redirect of answers) {
      try {
        send(redirect);
      } catch (error) {
        // A damaged row: a target or a status that HTTP cannot carry.
        answerError(redirect.request, redirect.response, error);
      }
    }
  }

  function send({ request, response, link }: Redirect): void {
    response.writeHead(link.redirectStatus, [
      'Location',
      link.url,
      'Cache-Control',
      // A browser that keeps a redirect neither asks again nor sees a change of the link.
      'private, no-store',
      'X-Request-ID',
      exchangeOf(request).requestId,
      'Content-Length',
      '0',
      ...securityHeaders,
    ]);
    response.end();
  }
}

/** A redirect that is decided and not sent yet. */
interface Redirect {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly link: RedirectFacts;
}

const GONE_SENTENCES = {
  expired: 'This link has expired.',
  disabled: 'This link is switched off.',
  deleted: 'This link was deleted.',
} as const;

/** The key that a path is, or null: `/autumn?x=1` is one, `/`, `/a/b` and `/healthz` are not. */
function readKey(url: string): string | null {
  const end = url.indexOf('?');
  const key = url.slice(1, end === -1 ? undefined : end);
  return isUsableKey(key) ? key : null;
}

function requireReading(method: string | undefined): void {
  if (method === 'GET' || method === 'HEAD') return;
  const message = `A short link has only GET and HEAD, not ${method}. Links are managed under /api/v1/links.`;
  throw new AppError('method_not_allowed', message, { allow: ['GET', 'HEAD'] });
}
