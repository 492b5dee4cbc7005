/** What only the management port has: metrics and drain. */

import type { IncomingHttpHeaders } from 'node:http';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { DRAIN_TTL_SECONDS_DEFAULT, DRAIN_TTL_SECONDS_MAX, type DrainStore } from '../../health/drain.ts';
import { type Clock, toRfc3339 } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import { wholeNumber } from '../../kernel/whole-number.ts';
import { defineRoute, type Route } from '../route.ts';
import type { ProcessIdentity } from './probes.ts';

export interface ManagementDeps {
  readonly registry: Registry;
  readonly drain: DrainStore;
  readonly clock: Clock;
  readonly identity: ProcessIdentity;
}

const drainQuery = z.strictObject({
  ttl_seconds: wholeNumber(1, DRAIN_TTL_SECONDS_MAX).optional(),
});

const drainView = z.strictObject({
  draining_until: z.iso.datetime().nullable(),
  release: z.string(),
  pid: z.int(),
});

export function createManagementRoutes({ registry, drain, clock, identity }: ManagementDeps): Route[] {
  const { release, pid } = identity;
  return [
    defineRoute({
      id: 'metrics',
      method: 'get',
      path: '/metrics',
      summary: 'The figures of this process for Prometheus',
      access: 'public',
      replies: { 200: { description: 'The figures.', type: registry.contentType } },
      handle: async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType }),
    }),

    defineRoute({
      id: 'startDrain',
      method: 'post',
      path: '/drain',
      summary: 'Ask for no more traffic; ends by itself after ttl_seconds',
      access: 'public',
      query: drainQuery,
      replies: { 200: { description: 'Draining.', schema: drainView } },
      errors: ['forbidden', 'unavailable'],
      async handle({ query, headers }) {
        refuseBrowsers(headers);
        const untilMs = clock.nowMs() + (query.ttl_seconds ?? DRAIN_TTL_SECONDS_DEFAULT) * 1000;
        await drain.writeDrainUntilMs(untilMs);
        return { status: 200, body: { draining_until: toRfc3339(untilMs), release, pid } };
      },
    }),

    defineRoute({
      id: 'endDrain',
      method: 'delete',
      path: '/drain',
      summary: 'Ask for traffic again',
      access: 'public',
      replies: { 200: { description: 'Not draining.', schema: drainView } },
      errors: ['forbidden', 'unavailable'],
      async handle({ headers }) {
        refuseBrowsers(headers);
        await drain.writeDrainUntilMs(null);
        return { status: 200, body: { draining_until: null, release, pid } };
      },
    }),
  ];
}

/** A page that somebody on the host has open must not drain it; browsers send Origin with every POST and DELETE. */
function refuseBrowsers({ origin }: IncomingHttpHeaders): void {
  if (origin === undefined) return;
  throw new AppError('forbidden', 'The management port does not take requests from web pages.');
}
