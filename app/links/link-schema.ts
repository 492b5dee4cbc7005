/**
 * What clients may say about links, and how links are shown. The schemas validate requests and make the OpenAPI document.
 * Unknown names are refused, every fault is reported with its path.
 */

import { z } from 'zod';
import { isRfc3339 } from '../kernel/clock.ts';
import { PLAIN_TEXT, PLAIN_TEXT_FAULT } from '../kernel/plain-text.ts';
import { wholeNumber } from '../kernel/whole-number.ts';
import { findKeyFault, KEY_LENGTH_MAX } from './key.ts';
import { CLICKS_MAX, LINK_STATUSES, REDIRECT_STATUSES } from './link.ts';
import { EVENT_TYPES, LINK_SORTS } from './link-store.ts';
import { parseTarget, TARGET_LENGTH_MAX } from './target.ts';

export const TITLE_LENGTH_MAX = 500;
export const TAGS_MAX = 20;
export const TAG_LENGTH_MAX = 50;
export const BATCH_MAX = 1000;
export const PAGE_LIMIT_MAX = 200;
export const PAGE_LIMIT_DEFAULT = 50;
export const SEARCH_LENGTH_MAX = 200;

/** One line of text: counted in UTF-16 units, as JSON Schema's maxLength nearly is, and kept in NFC. */
function plainText(max: number, min = 0) {
  return (
    z
      .string()
      .min(min, `expected at least ${min} character`)
      .max(max, `expected at most ${max} characters`)
      // Composed forms can be longer than what was sent.
      .refine((text) => text.length > max || text.normalize('NFC').length <= max, {
        error: `expected at most ${max} characters`,
      })
      .regex(PLAIN_TEXT, PLAIN_TEXT_FAULT)
      .transform((text) => text.normalize('NFC'))
  );
}

const title = plainText(TITLE_LENGTH_MAX)
  .nullable()
  .meta({ description: 'For people; null: none.', example: 'Autumn campaign' });

const tags = z
  .array(plainText(TAG_LENGTH_MAX, 1))
  .max(TAGS_MAX, `expected at most ${TAGS_MAX} tags`)
  .refine((list) => new Set(list).size === list.length, 'expected each tag once')
  .meta({ example: ['autumn', 'print'] });

const status = z.enum(['enabled', 'disabled'], 'expected enabled or disabled');

const redirectStatus = z
  .literal(REDIRECT_STATUSES, `expected one of ${REDIRECT_STATUSES.join(', ')}`)
  .meta({ description: 'The status of the redirect. Browsers may keep 301 and 308 for ever.', example: 302 });

const expiresAt = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })
  .transform((text) => Date.parse(text))
  .refine(isRfc3339, 'expected a year from 0000 to 9999')
  .nullable()
  .meta({ description: 'From then on the link answers 410; null: never.', example: null });

const CLICKS_FAULT = `expected a whole number from ${CLICKS_MAX.min} to ${CLICKS_MAX.max}, or null`;

const maxClicks = z
  .int({ error: CLICKS_FAULT, abort: true })
  .min(CLICKS_MAX.min, CLICKS_FAULT)
  .max(CLICKS_MAX.max, CLICKS_FAULT)
  .nullable()
  .meta({
    description:
      'How often the link may be followed, whoever follows it; then it answers 410. null: any number. Another number keeps ' +
      'what is used. Naming it in a PATCH sets it anew, also to the number that it has: where the count of what was used is ' +
      'lost the link answers 503 until then, and the number is what remains.',
    example: null,
  });

const key = z
  .string()
  .superRefine((text, context) => {
    const fault = findKeyFault(text);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault.message });
  })
  .meta({
    description: `1 to ${KEY_LENGTH_MAX} characters of A–Z a–z 0–9 - _, case kept; made when not given.`,
    example: 'autumn',
  });

export type LinkSchemas = ReturnType<typeof createLinkSchemas>;

/** `isSelf`: whether a normalised URL leads back to this service. */
export function createLinkSchemas({ isSelf }: { isSelf: (url: URL) => boolean }) {
  const url = z
    .string()
    .transform((raw, context) => {
      const result = parseTarget(raw, isSelf);
      if ('url' in result) return result.url;
      context.addIssue({ code: 'custom', message: result.fault });
      return z.NEVER;
    })
    .meta({
      description: `Where the link leads: http or https with a host, at most ${TARGET_LENGTH_MAX} characters.`,
      example: 'https://example.com/a/long/path',
    });

  const options = {
    url,
    title: title.optional(),
    tags: tags.optional(),
    status: status.optional(),
    redirect_status: redirectStatus.optional(),
    expires_at: expiresAt.optional(),
    max_clicks: maxClicks.optional(),
  };
  const draft = z.strictObject({ ...options, key: key.optional() }).meta({ id: 'LinkDraft' });

  return {
    shorten: z.strictObject({ url, key: key.optional() }).meta({ id: 'Shorten' }),
    draft,
    put: z.strictObject(options).meta({ id: 'LinkPut' }),
    patch: z.strictObject({ ...options, url: url.optional() }).meta({ id: 'LinkPatch' }),
    /** The items are read one by one, because with `atomic: false` each has an answer of its own. */
    batch: z
      .strictObject({
        links: z
          .array(z.unknown())
          .min(1, 'expected at least 1 link')
          .max(BATCH_MAX, `expected at most ${BATCH_MAX} links`),
        atomic: z.boolean().optional(),
      })
      .meta({ id: 'LinkBatch' }),
  };
}

export type LinkDraft = z.output<LinkSchemas['draft']>;
export type LinkPut = z.output<LinkSchemas['put']>;
export type LinkPatch = z.output<LinkSchemas['patch']>;

export const revertBody = z.strictObject({ version: z.int().min(1) }).meta({ id: 'LinkRevert' });

const limit = wholeNumber(1, PAGE_LIMIT_MAX)
  .optional()
  .meta({
    description: `Items of a page, 1 to ${PAGE_LIMIT_MAX}; ${PAGE_LIMIT_DEFAULT} when not given.`,
    example: '50',
  });

const cursor = z.string().max(2000).optional().meta({ description: 'The `next_cursor` of the page before.' });

export const pageQuery = z.strictObject({ limit, cursor });

export const listQuery = z.strictObject({
  limit,
  cursor,
  q: plainText(SEARCH_LENGTH_MAX, 1)
    .optional()
    .meta({ description: 'Part of the key, target, title or a tag, without regard to case.' }),
  tag: plainText(TAG_LENGTH_MAX, 1).optional(),
  status: z
    .enum([...LINK_STATUSES, 'all'], 'expected enabled, disabled, deleted or all')
    .optional()
    .meta({ description: 'Enabled and disabled ones when not given.' }),
  sort: z
    .enum(LINK_SORTS, `expected one of ${LINK_SORTS.join(', ')}`)
    .optional()
    .meta({ description: '`-created_at` when not given.' }),
});

export const eventsQuery = z.strictObject({
  limit,
  cursor,
  after: wholeNumber(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .meta({ description: 'Oldest first, beginning behind this seq: for whoever follows changes.' }),
});

export const purgeQuery = z.strictObject({
  purge: z
    .enum(['true', 'false'], 'expected true or false')
    .optional()
    .meta({ description: '`true`: link, history and clicks go for good (admin).' }),
});

const time = z.iso.datetime().meta({ example: '2026-01-31T12:00:00.000Z' });

const shownOptions = {
  url: z.string(),
  title: z.string().nullable(),
  tags: z.array(z.string()),
  status: z.enum(LINK_STATUSES),
  redirect_status: z.literal(REDIRECT_STATUSES),
  expires_at: time.nullable(),
  max_clicks: z.int().nullable(),
};

export const linkView = z
  .strictObject({
    id: z.int(),
    domain: z.string(),
    key: z.string(),
    ...shownOptions,
    short_url: z.string(),
    version: z.int(),
    seq: z.int(),
    created_by: z.string(),
    created_at: time,
    updated_at: time,
    clicks: z
      .int()
      .nullable()
      .meta({ description: 'How often people followed it; null: that cannot be read just now.' }),
    max_clicks_used: z.int().nullable().meta({
      description: 'What is used of `max_clicks`; null: it has none, or that cannot be read just now.',
    }),
  })
  .meta({ id: 'Link' });

export const optionsView = z.strictObject(shownOptions).meta({ id: 'LinkOptions' });

export const eventView = z
  .strictObject({
    seq: z.int(),
    type: z.enum(EVENT_TYPES),
    link_id: z.int(),
    domain: z.string(),
    key: z.string(),
    version: z.int(),
    by: z.string(),
    at: time,
    link: optionsView.nullable().meta({ description: 'What the link was after it; null once purged.' }),
  })
  .meta({ id: 'Event' });

export const historyView = z
  .strictObject({
    version: z.int(),
    seq: z.int(),
    type: z.enum(EVENT_TYPES),
    by: z.string(),
    at: time,
    before: optionsView.nullable(),
    after: optionsView,
  })
  .meta({ id: 'HistoryEntry' });

export const shortenedView = z
  .strictObject({ key: z.string(), short_url: z.string(), url: z.string() })
  .meta({ id: 'Shortened' });
