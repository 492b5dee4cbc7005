/** What clients say about API keys, and how keys are shown. */

import { z } from 'zod';
import { isRfc3339, toRfc3339 } from '../kernel/clock.ts';
import { PLAIN_TEXT, PLAIN_TEXT_FAULT } from '../kernel/plain-text.ts';
import { type ApiKey, SCOPES } from './api-key.ts';

const time = z.iso.datetime().meta({ example: '2026-01-31T12:00:00.000Z' });
const name = z
  .string()
  .min(1, 'expected at least 1 character')
  .max(100, 'expected at most 100 characters')
  .regex(PLAIN_TEXT, PLAIN_TEXT_FAULT);
const scopes = z.array(z.enum(SCOPES, `expected one of ${SCOPES.join(', ')}`));

export const apiKeyBody = z
  .strictObject({
    name: name.meta({ example: 'newsletter' }),
    scopes: scopes
      .min(1, 'expected at least 1 scope')
      .refine((list) => new Set(list).size === list.length, 'expected each scope once')
      .meta({ description: '`admin` includes the others.', example: ['links:write'] }),
    expires_at: z.iso
      .datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })
      .transform((text) => Date.parse(text))
      .refine(isRfc3339, 'expected a year from 0000 to 9999')
      .nullable()
      .optional()
      .meta({ description: 'From then on the key is refused; null: never.', example: null }),
  })
  .meta({ id: 'ApiKeyDraft' });

export const apiKeyView = z
  .strictObject({
    id: z.int(),
    name,
    scopes,
    origin: z.enum(['user', 'first-run', 'environment']),
    created_at: time,
    expires_at: time.nullable(),
    last_used_at: time.nullable().meta({ description: 'To the minute.' }),
  })
  .meta({ id: 'ApiKey' });

export const createdApiKeyView = apiKeyView
  .extend({ secret: z.string().meta({ description: 'Shown this once.' }) })
  .meta({ id: 'CreatedApiKey' });

export function toApiKeyView(key: ApiKey): z.output<typeof apiKeyView> {
  return {
    id: key.id,
    name: key.name,
    scopes: [...key.scopes],
    origin: key.origin,
    created_at: toRfc3339(key.createdAtMs),
    expires_at: key.expiresAtMs === null ? null : toRfc3339(key.expiresAtMs),
    last_used_at: key.lastUsedAtMs === null ? null : toRfc3339(key.lastUsedAtMs),
  };
}
