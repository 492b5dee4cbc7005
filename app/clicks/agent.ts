/**
 * What a User-Agent header says of who is asking. The words of a header are judged once and remembered, because a redirect
 * has no time for some hundred patterns.
 */

import bowser from 'bowser';
import { isbot } from 'isbot';
import { LRUCache } from 'lru-cache';

export type AgentKind = 'browser' | 'bot' | 'preview';

/** Null: not known. */
export interface AgentDescription {
  readonly browser: string | null;
  readonly os: string | null;
  readonly device: string | null;
}

/**
 * Messengers and networks that fetch a link when somebody posts it. Most of them are bots by their own name too, so they are
 * asked about first. Names as their operators document them.
 */
const PREVIEW =
  /facebookexternalhit|facebookcatalog|meta-externalfetcher|whatsapp|telegrambot|twitterbot|slackbot-linkexpanding|slack-imgproxy|discordbot|linkedinbot|skypeuripreview|microsoftpreview|msteams|pinterestbot|redditbot|vkshare|viber|line-poker|kakaotalk-scrap|snap url preview|google-pagerenderer|iframely|embedly|mastodon|pleroma|misskey|cardyb|bluesky|signal|zoombot|flipboardproxy|bitlybot|nuzzel|quora link preview|outbrain|tumblr|xing-contenttabreceiver|matrix-synapse|synapse/i;

/** Headers seen lately: real traffic has some thousand. */
const REMEMBERED_MAX = 10_000;

/** The cache is the only state; each caller has its own. */
export function createAgentReader(): (agent: string) => AgentKind {
  const kinds = new LRUCache<string, AgentKind>({ max: REMEMBERED_MAX });
  return (agent) => {
    const known = kinds.get(agent);
    if (known !== undefined) return known;
    const kind = judgeAgent(agent);
    kinds.set(agent, kind);
    return kind;
  };
}

/** A client that does not say what it is is no browser: all of them do. */
export function judgeAgent(agent: string): AgentKind {
  if (agent === '') return 'bot';
  if (PREVIEW.test(agent)) return 'preview';
  return isbot(agent) ? 'bot' : 'browser';
}

export function describeAgent(agent: string): AgentDescription {
  if (agent === '') return UNKNOWN;
  const { browser, os, platform } = bowser.parse(agent);
  return { browser: browser.name || null, os: os.name || null, device: platform.type || null };
}

const UNKNOWN: AgentDescription = { browser: null, os: null, device: null };
