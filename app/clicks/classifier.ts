/**
 * What kind of click a request is, and what is kept of it. Read from top to bottom, the first rule that fits decides:
 *
 *   HEAD ─▶ excluded · signed by the operator ─▶ excluded · loads ahead ─▶ prefetch · shows what is behind ─▶ preview ·
 *   a program ─▶ bot · the same visitor again ─▶ repeat · else ─▶ human
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { AgentKind } from './agent.ts';
import { AGENT_LENGTH_MAX, type Click, type ClickReason, type Exclusion } from './click.ts';
import type { RepeatMemory } from './repeats.ts';
import type { VisitorHash } from './visitor.ts';

/** A request for a link that will be answered with a redirect. */
export interface Visit {
  readonly linkId: number;
  readonly atMs: number;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** The address, or its network. */
  readonly client: string;
  /** What a trusted proxy says; null: it says nothing, and the address is looked up. */
  readonly country: string | null;
}

export interface ClassifierDeps {
  readonly readAgent: (agent: string) => AgentKind;
  readonly hashVisitor: VisitorHash;
  readonly repeats: RepeatMemory;
  /** Whether a header proves that the operator sent the request. */
  readonly isOwn: (header: string | string[] | undefined, atMs: number) => boolean;
  readonly findCountry: (client: string) => string | null;
  /** Whether `DNT` and `Sec-GPC` are obeyed: such a click is stored without any detail. */
  readonly obeysPrivacySignals: boolean;
}

/** A click to be stored, or why none is. */
export type Classifier = (visit: Visit) => Click | Exclusion;

/** The header that marks the operator's own requests. */
export const OWN_HEADER = 'x-fleetlink-synthetic';

export function createClassifier(deps: ClassifierDeps): Classifier {
  const { readAgent, hashVisitor, repeats, isOwn, findCountry, obeysPrivacySignals } = deps;

  return (visit) => {
    const { linkId, atMs, method, headers, client } = visit;
    if (method === 'HEAD') return 'head';
    if (isOwn(headers[OWN_HEADER], atMs)) return 'own';
    const agent = cut(headers['user-agent'] ?? '', AGENT_LENGTH_MAX);
    const reason = isPrefetch(headers) ? 'prefetch' : REASON_BY_KIND[readAgent(agent)];
    if (obeysPrivacySignals && asksForPrivacy(headers)) return { ...WITHOUT_DETAIL, linkId, atMs, reason };
    const visitor = hashVisitor(client, agent, atMs);
    return {
      linkId,
      atMs,
      reason: reason === 'human' && repeats.isRepeat(linkId, visitor, atMs) ? 'repeat' : reason,
      visitor,
      agent,
      referrer: readHost(headers.referer),
      language: readLanguage(headers['accept-language']),
      country: visit.country ?? findCountry(client),
    };
  };
}

const REASON_BY_KIND: Readonly<Record<AgentKind, ClickReason>> = {
  browser: 'human',
  bot: 'bot',
  preview: 'preview',
};

const WITHOUT_DETAIL = { visitor: null, agent: null, referrer: null, language: null, country: null } as const;

/** `Sec-Purpose` is today's header (https://fetch.spec.whatwg.org/#sec-purpose-header), the others are its ancestors. */
function isPrefetch(headers: IncomingHttpHeaders): boolean {
  const purpose = headers['sec-purpose'] ?? headers.purpose ?? headers['x-purpose'] ?? headers['x-moz'];
  return typeof purpose === 'string' && /prefetch|prerender|preview/i.test(purpose);
}

/** https://www.w3.org/TR/gpc/ and the older https://www.w3.org/TR/tracking-dnt/ */
function asksForPrivacy(headers: IncomingHttpHeaders): boolean {
  return headers['sec-gpc'] === '1' || headers.dnt === '1';
}

/** DNS names end there. */
const HOST_LENGTH_MAX = 253;
const HOST = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)*)\.?(?=[/?#:]|$)/i;

/** The host alone: paths and queries of other people's pages are nobody's business. */
function readHost(referrer: string | undefined): string | null {
  const host = referrer === undefined ? undefined : HOST.exec(referrer)?.[1];
  return host === undefined ? null : copy(host.slice(0, HOST_LENGTH_MAX).toLowerCase());
}

function cut(header: string, lengthMax: number): string {
  return header.length > lengthMax ? copy(header.slice(0, lengthMax)) : header;
}

/**
 * A part of a string keeps the whole of it in memory (measured: 14 kB a click for headers of 7 kB), and clicks may wait in great
 * numbers. Headers have one byte a character.
 */
function copy(part: string): string {
  return Buffer.from(part, 'latin1').toString('latin1');
}

function readLanguage(accepted: string | undefined): string | null {
  const language = accepted === undefined ? undefined : /^\s*([a-z]{2,3})\b/i.exec(accepted)?.[1];
  return language === undefined ? null : language.toLowerCase();
}
