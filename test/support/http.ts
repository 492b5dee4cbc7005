/**
 * A service whose every answer is held against its OpenAPI document, and the words that HTTP tests are written in: whole
 * problems, whole links, keys with given scopes.
 */

import { STATUS_CODES } from 'node:http';
import { gunzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { createMetrics } from '../../app/health/metrics.ts';
import { createOpenApiDocument } from '../../app/http/openapi.ts';
import { createManagementRoutes } from '../../app/http/routes/management.ts';
import type { ProcessIdentity } from '../../app/http/routes/probes.ts';
import { createProbeRoutes } from '../../app/http/routes/probes.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';
import { createDocumentCheck, type DocumentCheck, type OpenApiDocument } from './openapi.ts';
import {
  type Answer,
  type AskOptions,
  ask as askUnchecked,
  BASE_URL,
  type ServiceOptions,
  startService,
  type TestService,
} from './service.ts';

/** The time that the fake clock of `startHttp` starts at. */
export const START = '2026-01-31T12:00:00.000Z';

export type Ask = (method: string, path: string, options?: AskOptions) => Promise<Answer>;

export interface HttpService extends TestService {
  /** Null when the test brought a clock of its own. */
  readonly clock: FakeClock;
  readonly document: OpenApiDocument;
  /** Asks the public port; fails the test when the answer is not what the document says. */
  readonly ask: Ask;
  /** The same for the management port. */
  readonly manage: Ask;
}

export interface HttpOptions extends Omit<ServiceOptions, 'clock'> {
  readonly clock?: FakeClock;
}

export async function startHttp(t: Test, options: HttpOptions = {}): Promise<HttpService> {
  const clock = options.clock ?? createFakeClock();
  const service = await startService(t, { ...options, clock });
  const answer = await askUnchecked('GET', `${service.url}/api/openapi.json`, { key: null });
  const document = answer.body as OpenApiDocument;
  return {
    ...service,
    clock,
    document,
    ask: checked(t, service.url, createDocumentCheck(document)),
    manage: checked(t, service.managementUrl, createDocumentCheck(managementDocument())),
  };
}

function checked(t: Test, origin: string, check: DocumentCheck): Ask {
  return async (method, path, options = {}) => {
    const answer = await askUnchecked(method, `${origin}${path}`, options);
    const faults = check({ method, path, sent: toSent(options), ...answer });
    if (faults.length > 0) t.fail(`${method} ${path} is not as documented`, { faults, answer: answer.body });
    return answer;
  };
}

function toSent({ body, headers }: AskOptions): unknown {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  if (!isRaw) return body;
  try {
    const bytes = Buffer.from(body as Uint8Array);
    return JSON.parse((headers?.['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString());
  } catch {
    // What is neither gzip nor JSON cannot be a documented body, and is undefined to the check.
    return undefined;
  }
}

/** What the management port has, described by the same means: its routes are in no public document. */
function managementDocument(): OpenApiDocument {
  const identity: ProcessIdentity = { release: '', pid: 0, nonce: null };
  const unused = () => Promise.reject(new Error('Only the descriptions of these routes are read.'));
  const routes = [
    ...createProbeRoutes({ identity, readReadiness: unused }),
    ...createManagementRoutes({
      registry: createMetrics({ release: '', pid: 0 }).registry,
      drain: { readDrainUntilMs: unused, writeDrainUntilMs: unused },
      clock: systemClock,
      identity,
    }),
  ];
  const document = JSON.parse(
    JSON.stringify(createOpenApiDocument(routes, { baseUrl: BASE_URL, version: '' })),
  );
  delete document.paths['/{key}'];
  return document as OpenApiDocument;
}

const STATUSES = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  gone: 410,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
} as const;

/** A whole problem document. `faults` maps fields to messages. */
export function problem(
  code: keyof typeof STATUSES,
  sentence: string,
  faults?: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const status = STATUSES[code];
  return {
    type: `urn:fleetlink:error:${code}`,
    title: STATUS_CODES[status],
    status,
    detail: sentence,
    error: sentence,
    ...(faults && { errors: Object.entries(faults).map(([field, message]) => ({ field, message })) }),
  };
}

/** The problem of one invalid field, or of several of which the first is summed up. */
export function invalidFields(faults: Readonly<Record<string, string>>): Record<string, unknown> {
  const [first, ...rest] = Object.entries(faults);
  const more = rest.length > 0 ? ` (and ${rest.length} more)` : '';
  return problem('invalid', `${first?.[0]}: ${first?.[1]}${more}`, faults);
}

export interface LinkBody extends Record<string, unknown> {
  id: number;
  key: string;
  url: string;
  version: number;
  seq: number;
}

/** A whole link as the API shows the first one that the administrator made at `START`, but for what `differs`. */
export function linkBody(differs: Partial<LinkBody> & { key: string; url: string }): LinkBody {
  return {
    id: 1,
    domain: 'sho.rt',
    title: null,
    tags: [],
    status: 'enabled',
    redirect_status: 302,
    expires_at: null,
    max_clicks: null,
    short_url: `${BASE_URL}/${differs.key}`,
    version: 1,
    seq: 1,
    created_by: 'api-key:1',
    created_at: START,
    updated_at: START,
    clicks: 0,
    max_clicks_used: typeof differs.max_clicks === 'number' ? 0 : null,
    ...differs,
  };
}

/** What a person decides about a link, as events and history show it. */
export function optionsBody(differs: { url: string } & Record<string, unknown>): Record<string, unknown> {
  const unset = { title: null, tags: [], status: 'enabled', redirect_status: 302 };
  return { ...unset, expires_at: null, max_clicks: null, ...differs };
}

/** Makes a link and returns it. */
export async function makeLink(ask: Ask, body: Record<string, unknown>): Promise<LinkBody> {
  const { status, body: made } = await ask('POST', '/api/v1/links', { body });
  if (status !== 201) throw new Error(`The link was not made: ${JSON.stringify(made)}`);
  return made as LinkBody;
}

/** Makes an API key and returns its secret. */
export async function makeKey(ask: Ask, scopes: readonly string[], more = {}): Promise<string> {
  const { status, body } = await ask('POST', '/api/v1/api-keys', { body: { name: 'test', scopes, ...more } });
  if (status !== 201) throw new Error(`The key was not made: ${JSON.stringify(body)}`);
  return (body as { secret: string }).secret;
}

/** `after` milliseconds from `START`, as the API writes times. */
export function timeAfter(ms: number): string {
  return new Date(Date.parse(START) + ms).toISOString();
}
