/** Statistics of one link, of the links with a tag, and of all. */

import { z } from 'zod';
import { listQuery } from '../../links/link-schema.ts';
import type { LinkService } from '../../links/link-service.ts';
import type { StatsReader } from '../../stats/read-stats.ts';
import {
  linkStatsQuery,
  statsQueryShape,
  statsView,
  toStatsQuery,
  toStatsView,
} from '../../stats/stats-schema.ts';
import type { Scope } from '../../stats/stats-store.ts';
import { defineRoute, type Reply, type Route } from '../route.ts';
import { LINK_PATH, readRef } from './links.ts';

export interface StatsRouteDeps {
  readonly links: LinkService;
  readonly readStats: StatsReader;
}

const allStatsQuery = z.strictObject({
  tag: listQuery.shape.tag.meta({ description: 'Only links that have this tag now, deleted ones included.' }),
  ...statsQueryShape,
});

export function createStatsRoutes({ links, readStats }: StatsRouteDeps): Route[] {
  async function answer(scope: Scope, asked: z.output<typeof linkStatsQuery>): Promise<Reply> {
    const query = toStatsQuery(asked);
    return { status: 200, body: toStatsView(await readStats(scope, query), query.reasons) };
  }
  const replies = { 200: { description: 'The statistics.', schema: statsView } };

  return [
    defineRoute({
      id: 'getLinkStats',
      method: 'get',
      path: `${LINK_PATH}/stats`,
      summary: 'Clicks of a link over time, and where they come from',
      access: 'links:read',
      isLong: true,
      query: linkStatsQuery,
      replies,
      errors: ['not_found'],
      async handle({ params, query }) {
        const { id } = await links.getLink(readRef(params));
        return answer({ linkId: id }, query);
      },
    }),

    defineRoute({
      id: 'getStats',
      method: 'get',
      path: '/api/v1/stats',
      summary: 'Clicks of all links, or of those with a tag',
      access: 'links:read',
      isLong: true,
      query: allStatsQuery,
      replies,
      handle: ({ query: { tag, ...query } }) => answer(tag === undefined ? 'all' : { tag }, query),
    }),
  ];
}
