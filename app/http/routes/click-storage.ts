/** `GET /api/v1/clicks/storage`: what clicks take on the disk, and how long they are kept. */

import { z } from 'zod';
import type { ClickTiers } from '../../clicks/click-tiers.ts';
import { toRfc3339 } from '../../kernel/clock.ts';
import { defineRoute, type Route } from '../route.ts';

export interface ClickStorageDeps {
  readonly tiers: Pick<ClickTiers, 'readStorage'>;
  /** Days; 0: for ever. */
  readonly retention: { readonly clickDays: number; readonly quarterDays: number };
}

/** A stored click with its entry by link, measured over 1,000,000 of them (app/store/README.md). */
const CLICK_BYTES = 62;

const time = z.iso.datetime().nullable();
const days = z.int().nullable().meta({ description: 'Days; null: for ever.' });

const storageView = z
  .strictObject({
    bytes: z.int().meta({ description: 'Of the database with all it holds.' }),
    clicks: z.strictObject({
      rows: z.int(),
      waiting: z.int().meta({ description: 'Of these, not counted yet; at most 100,000 are told.' }),
      bytes: z.int().meta({ description: 'Estimated.' }),
      oldest_at: time,
      kept_days: days,
    }),
    counts: z.strictObject({
      bytes: z.int().meta({ description: 'The rest.' }),
      oldest_quarter_at: time,
      oldest_day_at: time.meta({ description: 'Of days whose quarters of an hour are gone.' }),
      oldest_detail_at: time,
      oldest_visitors_at: time,
      quarters_kept_days: days,
    }),
  })
  .meta({ id: 'ClickStorage' });

export function createClickStorageRoute({ tiers, retention }: ClickStorageDeps): Route {
  return defineRoute({
    id: 'getClickStorage',
    method: 'get',
    path: '/api/v1/clicks/storage',
    summary: 'What clicks take on the disk, and how long they are kept',
    access: 'admin',
    isLong: true,
    replies: { 200: { description: 'As it is now.', schema: storageView } },
    async handle() {
      const storage = await tiers.readStorage();
      const clickBytes = Math.min(storage.clicks * CLICK_BYTES, storage.bytes);
      const body: z.output<typeof storageView> = {
        bytes: storage.bytes,
        clicks: {
          rows: storage.clicks,
          waiting: storage.waiting,
          bytes: clickBytes,
          oldest_at: toTime(storage.oldestClickMs),
          kept_days: toDays(retention.clickDays),
        },
        counts: {
          bytes: storage.bytes - clickBytes,
          oldest_quarter_at: toTime(storage.oldestQuarterMs),
          oldest_day_at: toTime(storage.oldestDayMs),
          oldest_detail_at: toTime(storage.oldestDetailMs),
          oldest_visitors_at: toTime(storage.oldestVisitorMs),
          quarters_kept_days: toDays(retention.quarterDays),
        },
      };
      return { status: 200, body };
    },
  });
}

function toTime(ms: number | null): string | null {
  return ms === null ? null : toRfc3339(ms);
}

function toDays(count: number): number | null {
  return count === 0 ? null : count;
}
