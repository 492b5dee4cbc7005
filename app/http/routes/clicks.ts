/** Single clicks of a link: a page of them, or all as CSV. */

import { z } from 'zod';
import type { Clock } from '../../kernel/clock.ts';
import { PAGE_LIMIT_DEFAULT, pageQuery } from '../../links/link-schema.ts';
import type { LinkService } from '../../links/link-service.ts';
import { exportClicks } from '../../stats/click-csv.ts';
import type { ClickLog } from '../../stats/click-log.ts';
import { clickRangeShape, clickView, toClickView } from '../../stats/click-schema.ts';
import type { CatchUp } from '../../stats/read-stats.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Route } from '../route.ts';
import { LINK_PATH, readRef } from './links.ts';

export interface ClickRouteDeps {
  readonly links: LinkService;
  readonly clickLog: ClickLog;
  readonly clock: Clock;
  readonly catchUp: CatchUp;
}

const clickRangeQuery = z.strictObject(clickRangeShape);
const clicksQuery = z.strictObject({ ...pageQuery.shape, ...clickRangeShape });

export function createClickRoutes({ links, clickLog, clock, catchUp }: ClickRouteDeps): Route[] {
  return [
    defineRoute({
      id: 'listLinkClicks',
      method: 'get',
      path: `${LINK_PATH}/clicks`,
      summary: 'Single clicks of a link, newest first, as long as they are kept',
      access: 'links:read',
      isLong: true,
      query: clicksQuery,
      replies: { 200: { description: 'A page of clicks.', schema: pageOf(clickView) } },
      errors: ['not_found'],
      async handle({ params, query }) {
        const { id: linkId } = await links.getLink(readRef(params));
        const { limit = PAGE_LIMIT_DEFAULT, from: fromMs = 0, to: toMs = Number.MAX_SAFE_INTEGER } = query;
        const question = `clicks ${linkId} ${fromMs} ${toMs}`;
        const position = decodeCursor(question, query.cursor);
        await catchUp();
        const clicks = await clickLog.listClicks({
          linkId,
          fromMs,
          toMs,
          order: 'newest',
          limit: limit + 1,
          after: position && { atMs: Number(position.value), id: position.id },
        });
        const shown = clicks.slice(0, limit);
        const last = clicks.length > limit ? shown.at(-1) : undefined;
        const next_cursor = last ? encodeCursor(question, { value: last.atMs, id: last.id }) : null;
        return { status: 200, body: { items: shown.map(toClickView), next_cursor } };
      },
    }),

    defineRoute({
      id: 'exportLinkClicks',
      method: 'get',
      path: `${LINK_PATH}/clicks.csv`,
      summary: 'The same as CSV, oldest first',
      access: 'links:read',
      isLong: true,
      query: clickRangeQuery,
      replies: {
        200: {
          description:
            'RFC 4180, with a line of names. A cell that a spreadsheet would run as a formula begins with an apostrophe.',
          type: CSV,
          headers: ['Content-Disposition'],
        },
      },
      errors: ['not_found'],
      async handle({ params, query }) {
        const link = await links.getLink(readRef(params));
        const { from: fromMs = 0, to: toMs = clock.nowMs() } = query;
        await catchUp();
        return {
          status: 200,
          type: CSV,
          headers: { 'Content-Disposition': `attachment; filename="clicks-${link.key}.csv"` },
          stream: exportClicks(clickLog, { linkId: link.id, fromMs, toMs }),
        };
      },
    }),
  ];
}

const CSV = 'text/csv; charset=utf-8';
