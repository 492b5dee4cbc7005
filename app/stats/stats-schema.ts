/** What clients may ask of statistics, and how statistics are shown. */

import { z } from 'zod';
import { CLICK_REASONS, type ClickReason } from '../clicks/click.ts';
import { isRfc3339, toRfc3339 } from '../kernel/clock.ts';
import { wholeNumber } from '../kernel/whole-number.ts';
import { INTERVALS } from './buckets.ts';
import {
  BUCKETS_MAX,
  DEFAULT_DAYS,
  GRAINS,
  OTHER_VALUE,
  type Stats,
  type StatsQuery,
  sumOf,
} from './read-stats.ts';
import type { Breakdown } from './stats-store.ts';
import type { ReasonCounts } from './tally.ts';

export const TOP_MAX = 100;
const TOP_DEFAULT = 10;

/** A moment as clients write it, as milliseconds since the epoch. */
export const moment = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })
  .transform((text) => Date.parse(text))
  .refine(isRfc3339, 'expected a year from 0000 to 9999');

const REASON_CHOICES: readonly string[] = [...CLICK_REASONS, 'all'];

const reasonList = z
  .string()
  .refine((text) => text.split(',').every((name) => REASON_CHOICES.includes(name)), {
    error: `expected ${REASON_CHOICES.join(', ')} or several of them separated by commas`,
  })
  .transform((text): ReadonlySet<ClickReason> => {
    const names = text.split(',');
    return new Set(CLICK_REASONS.filter((reason) => names.includes(reason) || names.includes('all')));
  });

export const statsQueryShape = {
  from: moment.optional().meta({
    description: `The beginning; the bucket ${DEFAULT_DAYS} days before "to" when not given, with minutes one day.`,
  }),
  to: moment.optional().meta({ description: 'The end, not part of the range; now when not given.' }),
  interval: z
    .enum(INTERVALS, `expected one of ${INTERVALS.join(', ')}`)
    .optional()
    .meta({ description: `\`day\` when not given; weeks begin on Monday. At most ${BUCKETS_MAX} buckets.` }),
  tz: z
    .string()
    .max(100, 'expected at most 100 characters')
    .optional()
    .meta({ description: 'The time zone of the buckets; UTC when not given.', example: 'Europe/Berlin' }),
  reason: reasonList.optional().meta({
    description: `Which clicks \`clicks\` counts: ${REASON_CHOICES.join(', ')}, or several with commas; \`human\` when not given.`,
    example: 'human,repeat',
  }),
  limit: wholeNumber(1, TOP_MAX)
    .optional()
    .meta({ description: `Entries of each ranking, 1 to ${TOP_MAX}; ${TOP_DEFAULT} when not given.` }),
};

export const linkStatsQuery = z.strictObject(statsQueryShape);

const HUMANS: ReadonlySet<ClickReason> = new Set(['human']);

export function toStatsQuery(query: z.output<typeof linkStatsQuery>): StatsQuery {
  return {
    fromMs: query.from ?? null,
    toMs: query.to ?? null,
    interval: query.interval ?? 'day',
    tz: query.tz ?? 'UTC',
    reasons: query.reason ?? HUMANS,
    limit: query.limit ?? TOP_DEFAULT,
  };
}

const time = z.iso.datetime().meta({ example: '2026-01-31T12:00:00.000Z' });

/** The names of a closed set as the fields of an object. */
function fieldsOf<K extends string, T extends z.ZodType>(names: readonly K[], schema: T): Record<K, T> {
  return Object.fromEntries(names.map((name) => [name, schema])) as Record<K, T>;
}

const byReason = z.strictObject(fieldsOf(CLICK_REASONS, z.int())).meta({ id: 'ClicksByReason' });

/** The rankings of an answer, and what each is of. */
const RANKED = {
  referrers: 'referrer',
  countries: 'country',
  browsers: 'browser',
  os: 'os',
  devices: 'device',
  languages: 'language',
} as const satisfies Record<string, Breakdown>;
type Ranking = keyof typeof RANKED;
const RANKINGS = Object.keys(RANKED) as Ranking[];

const topEntry = z
  .strictObject({
    value: z
      .string()
      .nullable()
      .meta({
        description: `Null: not known, or none. \`${OTHER_VALUE}\`: all that came once there were too many.`,
      }),
    clicks: z.int(),
  })
  .meta({ id: 'TopEntry' });

export const statsView = z
  .strictObject({
    from: time,
    to: time,
    interval: z.enum(INTERVALS),
    tz: z.string(),
    as_of: time.meta({ description: 'Every click until then is counted.' }),
    grain: z.enum(GRAINS).meta({
      description:
        '`exact`: counted to the millisecond. `quarter`: "from" and "to" were rounded to the quarter of an hour, because ' +
        'the single clicks are gone or too many. `utc_day`: days long ago are known as days of UTC only, and each ' +
        'counts where its noon is. Of visitors and rankings only whole days are known, whatever the grain.',
    }),
    totals: z.strictObject({
      clicks: z.int(),
      by_reason: byReason,
      visitors: z.int().meta({
        description:
          'People, whatever `reason` says, of each day of UTC that the range touches, added up: nobody is known for longer.',
      }),
    }),
    series: z.array(
      z.strictObject({
        at: time.meta({ description: 'The beginning of the bucket; the first may begin before "from".' }),
        clicks: z.int(),
        by_reason: byReason,
      }),
    ),
    top: z.strictObject(fieldsOf(RANKINGS, z.array(topEntry))).meta({
      description: 'Of all days of UTC that the range touches.',
    }),
  })
  .meta({ id: 'Stats' });

export function toStatsView(stats: Stats, reasons: ReadonlySet<ClickReason>): z.output<typeof statsView> {
  const rankings = RANKINGS.map((ranking) => [ranking, stats.top.get(RANKED[ranking])]);
  const counts = (of: ReasonCounts) => ({ clicks: sumOf(of, reasons), by_reason: of });
  return {
    from: toRfc3339(stats.fromMs),
    to: toRfc3339(stats.toMs),
    interval: stats.interval,
    tz: stats.tz,
    as_of: toRfc3339(stats.asOfMs),
    grain: stats.grain,
    totals: { ...counts(stats.byReason), visitors: stats.visitors },
    series: stats.series.map(({ atMs, byReason: of }) => ({ at: toRfc3339(atMs), ...counts(of) })),
    top: Object.fromEntries(rankings) as z.output<typeof statsView>['top'],
  };
}
