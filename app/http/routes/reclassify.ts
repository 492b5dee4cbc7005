/** `POST /api/v1/clicks:reclassify`: reads the history of clicks under the rules of today, beside the service. */

import { z } from 'zod';
import { CLICK_REASONS } from '../../clicks/click.ts';
import type { Reclassification, Reclassifier } from '../../clicks/reclassifier.ts';
import { toRfc3339 } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import { defineRoute, type Route } from '../route.ts';

const PATH = '/api/v1/clicks:reclassify';

const body = z.strictObject({
  dry_run: z.boolean().optional().meta({ description: 'Only say what would change. False when not given.' }),
});

const view = z
  .strictObject({
    dry_run: z.boolean(),
    status: z.enum(['running', 'done', 'failed']),
    started_at: z.iso.datetime(),
    ended_at: z.iso.datetime().nullable(),
    read: z
      .int()
      .meta({ description: 'Clicks that were looked at so far: those that still have their rows.' }),
    changed: z
      .array(z.strictObject({ from: z.enum(CLICK_REASONS), to: z.enum(CLICK_REASONS), clicks: z.int() }))
      .meta({ description: 'How many of them changed, or would have.' }),
  })
  .meta({ id: 'Reclassification' });

export function createReclassifyRoutes({ reclassifier }: { readonly reclassifier: Reclassifier }): Route[] {
  return [
    defineRoute({
      id: 'reclassifyClicks',
      method: 'post',
      path: PATH,
      summary: 'Read the history of clicks under the rules of today',
      access: 'admin',
      body,
      replies: { 202: { description: 'It began. Ask with GET how it goes.', schema: view } },
      errors: ['conflict', 'unavailable'],
      async handle({ body: { dry_run: isDryRun = false } }) {
        const begun = await reclassifier.start({ isDryRun });
        if (begun === null) {
          throw new AppError('conflict', 'Clicks are being reclassified just now. Ask with GET how it goes.');
        }
        return { status: 202, body: toView(begun) };
      },
    }),
    defineRoute({
      id: 'getReclassification',
      method: 'get',
      path: PATH,
      summary: 'How reading the history of clicks goes, or went',
      access: 'admin',
      replies: { 200: { description: 'The last one of this process.', schema: view } },
      errors: ['not_found'],
      async handle() {
        const last = reclassifier.read();
        if (last === null) {
          throw new AppError('not_found', 'No clicks were reclassified since this process started.');
        }
        return { status: 200, body: toView(last) };
      },
    }),
  ];
}

function toView(job: Reclassification): z.output<typeof view> {
  return {
    dry_run: job.isDryRun,
    status: job.status,
    started_at: toRfc3339(job.startedAtMs),
    ended_at: job.endedAtMs === null ? null : toRfc3339(job.endedAtMs),
    read: job.read,
    changed: job.changed.map(({ from, to, clicks }) => ({ from, to, clicks })),
  };
}
