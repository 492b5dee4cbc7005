/**
 * The redirect lane: what the service exists for, in front of Express. It owns every path that is one key and nothing else;
 * what it does not own it leaves untouched.
 *
 *   GET /autumn ─▶ is this a key? ─▶ find the link ─▶ expired, disabled, deleted? ─▶ record the click ─▶ 302
 *                      │ no                │ none               │ yes                     │ used up
 *                      ▼                   ▼                    ▼                         ▼
 *                   Express               404                  410                       410
 *
 * Recording is what takes time: the clicks of a turn are stored together, and their answers leave together after that.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Classifier } from '../clicks/classifier.ts';
import type { Click, Exclusion } from '../clicks/click.ts';
import type { Quota } from '../clicks/click-journal.ts';
import type { ClickWriter, Fate } from '../clicks/click-writer.ts';
import { toClientId } from '../guard/rate-limit.ts';
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
  readonly classify: Classifier;
  readonly record: ClickWriter['record'];
  /** Told of keys that no link has. */
  readonly noteUnknown: (key: string) => void;
  /** The country that a trusted proxy names. */
  readonly readCountry: (request: IncomingMessage) => string | null;
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

export function createRedirectLane(deps: RedirectLaneDeps): RedirectLane {
  const { lookup, clock, classify, record, noteUnknown, readCountry, securityHeaders, answerError } = deps;

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
    if (link === null) {
      noteUnknown(key);
      throw new AppError('not_found', `There is no link "${key}" here. Check how it is spelled.`);
    }
    const atMs = clock.nowMs();
    const decision = decideRedirect(link, atMs);
    if (decision !== 'redirect') throw new AppError('gone', GONE_SENTENCES[decision]);
    const click = readClick(request, link.id, atMs);
    record({
      click: typeof click === 'string' ? null : click,
      exclusion: typeof click === 'string' ? click : null,
      quota: readQuota(request, link),
      settle: (fate) => settle(fate, request, response, link),
    });
    return true;
  }

  function readClick(request: IncomingMessage, linkId: number, atMs: number): Click | Exclusion {
    const { method = 'GET', headers } = request;
    const client = toClientId(exchangeOf(request).clientAddress);
    return classify({ linkId, atMs, method, headers, client, country: readCountry(request) });
  }

  function settle(fate: Fate, request: IncomingMessage, response: ServerResponse, link: RedirectFacts): void {
    try {
      if (fate !== 'redirect') throw refusal(fate);
      send(request, response, link);
    } catch (error) {
      // Also of a damaged row: a target or a status that HTTP cannot carry.
      answerError(request, response, error);
    }
  }

  function send(request: IncomingMessage, response: ServerResponse, link: RedirectFacts): void {
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

/** Every GET that is redirected uses one up, whoever asks: a bot has seen where the link leads too. */
function readQuota(
  { method }: IncomingMessage,
  { id, maxClicks, maxClicksSeq }: RedirectFacts,
): Quota | null {
  if (maxClicks === null) return null;
  return { linkId: id, clicksMax: maxClicks, setBySeq: maxClicksSeq, isOnlyAsked: method === 'HEAD' };
}

function refusal(fate: Exclude<Fate, 'redirect'>): AppError {
  switch (fate) {
    case 'spent':
      return new AppError('gone', 'This link has been followed as often as it may be.');
    case 'unavailable':
      return new AppError(
        'unavailable',
        'This link counts its clicks, and they cannot be counted just now.',
        {
          retryAfterSeconds: 1,
        },
      );
    case 'unknown':
      return new AppError(
        'unavailable',
        'How often this link was followed is not known any more. Its owner has to set max_clicks anew.',
      );
  }
}

const GONE_SENTENCES = {
  expired: 'This link has expired.',
  disabled: 'This link is switched off.',
  deleted: 'This link was deleted.',
} as const;

/**
 * The key that a path is, or null: `/autumn?x=1` is one, `/`, `/a/b` and `/healthz` are not. `/autumn.` and `/autumn/` are the key
 * of `/autumn`: many programs take what stands behind an address in a sentence for a part of it.
 */
function readKey(url: string): string | null {
  const end = url.indexOf('?');
  const path = url.slice(1, end === -1 ? undefined : end);
  if (isUsableKey(path)) return path;
  const key = WITH_TAIL.exec(decodePath(path))?.[1];
  return key !== undefined && isUsableKey(key) ? key : null;
}

const WITH_TAIL = /^([\w-]{1,64})[/.,;:!?)\]}>'"\u2019\u201c\u201d\u00bb]{0,3}$/;

/** As it is when that cannot be done. */
function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function requireReading(method: string | undefined): void {
  if (method === 'GET' || method === 'HEAD') return;
  const message = `A short link has only GET and HEAD, not ${method}. Links are managed under /api/v1/links.`;
  throw new AppError('method_not_allowed', message, { allow: ['GET', 'HEAD'] });
}
