/** `GET /api/v1/unknown-keys`: what people follow in vain, and what they may have meant. */

import { z } from 'zod';
import { DAY_MS } from '../../clicks/visitor.ts';
import { type Clock, toRfc3339 } from '../../kernel/clock.ts';
import { wholeNumber } from '../../kernel/whole-number.ts';
import { findNearKeys, type NearKeyStore } from '../../links/near-keys.ts';
import { moment } from '../../stats/stats-schema.ts';
import type { UnknownKeyHits, UnknownKeyStore, UnknownKeys } from '../../stats/unknown-keys.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Route } from '../route.ts';

export interface UnknownKeyRouteDeps {
  readonly unknownKeys: UnknownKeys;
  readonly store: UnknownKeyStore;
  readonly nearKeys: NearKeyStore;
  readonly clock: Clock;
}

const LIMIT_MAX = 100;
const LIMIT_DEFAULT = 20;
const SINCE_DEFAULT_MS = 7 * DAY_MS;

const query = z.strictObject({
  since: moment.optional().meta({
    description: 'Its day of UTC is the first that counts; a week ago when not given. 30 days are kept.',
  }),
  limit: wholeNumber(1, LIMIT_MAX)
    .optional()
    .meta({ description: `1 to ${LIMIT_MAX}; ${LIMIT_DEFAULT} when not given.` }),
});

const view = z
  .strictObject({
    key: z.string(),
    count: z.int().meta({
      description:
        'Requests for it, at least. Exact while no more than 1,000 unknown keys are asked for at a time; in a flood of ' +
        'them, hits of rare ones are missing.',
    }),
    last_seen: z.iso.datetime(),
    near: z.array(z.string()).meta({
      description:
        'Up to three keys of links that differ by one or two characters, or by capital letters alone.',
    }),
  })
  .meta({ id: 'UnknownKey' });

export function createUnknownKeysRoute(deps: UnknownKeyRouteDeps): Route {
  const { unknownKeys, store, nearKeys, clock } = deps;

  /** A key may have got its link since. */
  async function listMissing(sinceMs: number, limit: number): Promise<UnknownKeyHits[]> {
    const found = await store.listUnknownKeys(Math.floor(sinceMs / DAY_MS), limit + LIMIT_MAX);
    const existing = new Set(await nearKeys.findExisting(found.map(({ key }) => key)));
    return found.filter(({ key }) => !existing.has(key)).slice(0, limit);
  }

  return defineRoute({
    id: 'listUnknownKeys',
    method: 'get',
    path: '/api/v1/unknown-keys',
    summary: 'Keys without a link that were followed most, and keys that they may have been meant to be',
    access: 'links:read',
    isLong: true,
    query,
    replies: { 200: { description: 'The most hit first, in one page.', schema: pageOf(view) } },
    async handle({ query: { since: sinceMs = clock.nowMs() - SINCE_DEFAULT_MS, limit = LIMIT_DEFAULT } }) {
      await unknownKeys.flush();
      const items: z.output<typeof view>[] = [];
      for (const { key, hits, lastSeenMs } of await listMissing(sinceMs, limit)) {
        const near = await findNearKeys(nearKeys, key);
        items.push({ key, count: hits, last_seen: toRfc3339(lastSeenMs), near });
      }
      return { status: 200, body: { items, next_cursor: null } };
    },
  });
}
