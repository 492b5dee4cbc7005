/** What clients may ask of single clicks, and how they are shown. */

import { z } from 'zod';
import { CLICK_REASONS } from '../clicks/click.ts';
import { toRfc3339 } from '../kernel/clock.ts';
import type { LoggedClick } from './click-log.ts';
import { moment } from './stats-schema.ts';

export const clickRangeShape = {
  from: moment.optional().meta({ description: 'The beginning; that of the first click when not given.' }),
  to: moment.optional().meta({ description: 'The end, not part of the range; now when not given.' }),
};

const text = z.string().nullable();

export const clickView = z
  .strictObject({
    at: z.iso.datetime().meta({ example: '2026-01-31T12:00:00.000Z' }),
    reason: z.enum(CLICK_REASONS),
    referrer: text.meta({ description: 'The host of the page that led here.', example: 'news.example' }),
    country: text,
    browser: text,
    os: text,
    device: text,
    language: text,
  })
  .meta({ id: 'Click' });

export function toClickView({ id: _, atMs, ...click }: LoggedClick): z.output<typeof clickView> {
  return { at: toRfc3339(atMs), ...click };
}
