/** `POST /api/v1/links:batch`: up to 1,000 links in one call, all or none, or each for itself. */

import { z } from 'zod';
import { AppError, type FieldFault, invalid } from '../../kernel/errors.ts';
import type { Link } from '../../links/link.ts';
import { BATCH_MAX, type LinkDraft, linkView } from '../../links/link-schema.ts';
import type { CreateResult } from '../../links/link-service.ts';
import type { LinkView } from '../../links/link-view.ts';
import { problemView, toProblem } from '../problem.ts';
import { check, defineRoute, type Reply, type Route } from '../route.ts';
import { LINKS_PATH, type LinkRouteDeps } from './links.ts';

const BODY_BYTES_MAX = 5 * 1024 * 1024;

const batchView = z.strictObject({ items: z.array(linkView) }).meta({ id: 'LinkBatchResult' });

const itemView = z.union([
  z.strictObject({ status: z.literal([200, 201]), link: linkView }),
  z.strictObject({ status: z.int(), problem: problemView }),
]);
const mixedView = z.strictObject({ items: z.array(itemView) }).meta({ id: 'LinkBatchItems' });

export function createLinkBatchRoute(deps: Omit<LinkRouteDeps, 'store' | 'catchUpClicks'>): Route {
  const { links, schemas, views, limitCreation } = deps;

  async function createAll(items: readonly unknown[], by: string): Promise<Reply> {
    const faults: FieldFault[] = [];
    const drafts = items.map((item, index) => check(schemas.draft, item, faults, `links[${index}]`));
    if (faults.length > 0) throw invalid(faults);
    const errors: AppError[] = [];
    const made: Link[] = [];
    for (const [index, result] of (await links.createMany(drafts, by, true)).entries()) {
      if (result instanceof AppError) errors.push(prefixFaults(result, index));
      else made.push(result.link);
    }
    throwFirst(errors);
    return { status: 201, body: { items: await views.links(made) } };
  }

  async function createEach(items: readonly unknown[], by: string): Promise<Reply> {
    const checked = items.map(checkOne);
    const drafts = checked.flatMap((draft) => (draft instanceof AppError ? [] : [draft]));
    const results = drafts.length === 0 ? [] : [...(await links.createMany(drafts, by, false))];
    const answers = checked.map((draft) => (draft instanceof AppError ? draft : results.shift()));
    return { status: 207, body: { items: await toItems(answers as (CreateResult | AppError)[]) } };
  }

  function checkOne(item: unknown): LinkDraft | AppError {
    const faults: FieldFault[] = [];
    const draft = check(schemas.draft, item, faults);
    return faults.length > 0 ? invalid(faults) : draft;
  }

  async function toItems(
    results: readonly (CreateResult | AppError)[],
  ): Promise<z.output<typeof itemView>[]> {
    const made = results.flatMap((result) => (result instanceof AppError ? [] : [result.link]));
    const shown = await views.links(made);
    return results.map((result) => {
      if (!(result instanceof AppError)) {
        return { status: result.isNew ? 201 : 200, link: shown.shift() as LinkView };
      }
      const problem = toProblem(result);
      return { status: problem.status, problem };
    });
  }

  return defineRoute({
    id: 'createLinks',
    method: 'post',
    path: `${LINKS_PATH}:batch`,
    summary: `Create 1 to ${BATCH_MAX} links: all or none, or with "atomic": false each for itself`,
    access: 'links:write',
    body: schemas.batch,
    bodyDoc: z
      .strictObject({
        links: z.array(schemas.draft).min(1).max(BATCH_MAX),
        atomic: z.boolean().optional().meta({ description: 'true when not given.' }),
      })
      .meta({ id: 'LinkBatch' }),
    bodyBytesMax: BODY_BYTES_MAX,
    replies: {
      201: { description: 'All were created, in this order.', schema: batchView },
      207: {
        description: 'With "atomic": false: a link or a problem for each, in this order.',
        schema: mixedView,
      },
    },
    errors: ['conflict', 'rate_limited', 'unavailable'],
    async handle({ body, principal, client }) {
      limitCreation(principal, client, body.links.length);
      return (body.atomic ?? true)
        ? createAll(body.links, principal.id)
        : createEach(body.links, principal.id);
    },
  });
}

function prefixFaults(error: AppError, index: number): AppError {
  const item = `links[${index}]`;
  const faults =
    error.faults.length > 0
      ? error.faults.map(({ field, message }) => ({ field: `${item}.${field}`, message }))
      : [{ field: item, message: error.message }];
  return withFaults(error, error.message, faults);
}

/** One problem that names every fault; the first error gives it its code. */
function throwFirst(errors: readonly AppError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  const faults = errors.flatMap((error) => error.faults);
  const sentence = `${errors.length} of the links cannot be created, so none was. First: ${first.message}`;
  throw withFaults(first, sentence, faults);
}

/** The error with other words, and still with its advice when to try again. */
function withFaults(
  { code, retryAfterSeconds }: AppError,
  message: string,
  faults: readonly FieldFault[],
): AppError {
  return new AppError(code, message, { faults, ...(retryAfterSeconds !== null && { retryAfterSeconds }) });
}
