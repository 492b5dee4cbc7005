/** `/healthz` and `/readyz`, on both ports. Each answer names the process, because two share a port during a reload. */

import { z } from 'zod';
import type { Readiness } from '../../health/readiness.ts';
import { defineRoute, type Route } from '../route.ts';

export interface ProcessIdentity {
  readonly release: string;
  readonly pid: number;
  /** DEPLOY_NONCE of whoever started this process. */
  readonly nonce: string | null;
}

export interface ProbeDeps {
  readonly identity: ProcessIdentity;
  readonly readReadiness: () => Promise<Readiness>;
}

const identityShape = { release: z.string(), pid: z.int(), nonce: z.string().nullable() };

const healthView = z.strictObject({ status: z.literal('alive'), ...identityShape }).meta({ id: 'Health' });

const readinessView = z
  .strictObject({
    status: z.enum(['ready', 'degraded', 'draining', 'unready']),
    reasons: z
      .array(z.string())
      .meta({ description: 'What is amiss: links_db, drain, clicks_db, copy, database, disk.' }),
    ...identityShape,
  })
  .meta({ id: 'Readiness' });

export function createProbeRoutes({ identity, readReadiness }: ProbeDeps): Route[] {
  return [
    defineRoute({
      id: 'healthz',
      method: 'get',
      path: '/healthz',
      summary: 'Whether the process is alive; asks nothing else',
      access: 'public',
      replies: { 200: { description: 'It is.', schema: healthView } },
      handle: () => ({ status: 200, body: { status: 'alive', ...identity } }),
    }),

    defineRoute({
      id: 'readyz',
      method: 'get',
      path: '/readyz',
      summary: 'Whether the process should get traffic; asks the database',
      access: 'public',
      replies: {
        200: { description: 'It should: ready, or degraded with reasons.', schema: readinessView },
        503: { description: 'It should not: draining, or unready with reasons.', schema: readinessView },
      },
      async handle() {
        const { status, reasons } = await readReadiness();
        const isUp = status === 'ready' || status === 'degraded';
        return { status: isUp ? 200 : 503, body: { status, reasons, ...identity } };
      },
    }),
  ];
}
