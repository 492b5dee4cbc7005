/**
 * Holds real answers against the OpenAPI document: path, method, status, content type, headers and body. What the document
 * does not say must not happen; so every test that asks through test/support/http.ts proves a part of it.
 */

import { STATUS_CODES } from 'node:http';
import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { isUsableKey } from '../../app/links/key.ts';

export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly [name: string]: unknown;
}

export interface Operation {
  readonly operationId: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
  readonly responses: Readonly<Record<string, ResponseDoc>>;
}

interface ResponseDoc {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, unknown>>;
}

/** One call as it went over the wire. */
export interface Conversation {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** The JSON that was sent; undefined when none was, or what was sent is no JSON. */
  readonly sent: unknown;
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What an answer does that the document does not say; empty when all is well. */
export type DocumentCheck = (conversation: Conversation) => string[];

export function createDocumentCheck(document: OpenApiDocument): DocumentCheck {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema({ $id: 'document', ...document });
  const validators = new Map<string, ValidateFunction>();

  function violations(pointer: readonly string[], value: unknown): string[] {
    const ref = `document#/${pointer.map(escapePointer).join('/')}`;
    const validate = validators.get(ref) ?? ajv.compile({ $ref: ref });
    validators.set(ref, validate);
    return validate(value) ? [] : [`${pointer.join(' ')}: ${ajv.errorsText(validate.errors)}`];
  }

  function checkRequest(operation: Operation, pointer: readonly string[], { path, sent }: Conversation) {
    const known = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
    const names = [...new URLSearchParams(path.split('?')[1] ?? '').keys()];
    const unknown = names.filter((name) => !known.some((parameter) => parameter.name === name));
    const schema = [...pointer, 'requestBody', 'content', 'application/json', 'schema'];
    return [
      ...unknown.map((name) => `accepts the query ${name}`),
      ...(operation.requestBody === undefined ? [] : violations(schema, sent)),
    ];
  }

  function checkDocumented(operation: Operation, pointer: readonly string[], conversation: Conversation) {
    const { method, status, headers, body } = conversation;
    const response = operation.responses[status];
    if (response === undefined) return [`answers ${status}, which is not documented`];
    const type = headers.get('content-type');
    const isEmpty = method === 'HEAD' || response.content === undefined;
    const schema = [...pointer, 'responses', String(status), 'content', String(type), 'schema'];
    const hasSchema = !isEmpty && type !== null && type in (response.content ?? {});
    return [
      ...Object.keys(response.headers ?? {})
        .filter((name) => !headers.has(name))
        .map((name) => `has no ${name}`),
      ...faultsOf([
        [!isDocumentedType(response, type), `has the undocumented content type ${type}`],
        [isEmpty && body !== null, 'has a body'],
      ]),
      ...(hasSchema ? violations(schema, body) : []),
      // 207 has an answer for each part of the request, also for one that is against the document.
      ...(status < 300 && status !== 207 ? checkRequest(operation, pointer, conversation) : []),
      ...(type === 'application/problem+json' ? checkProblem(conversation) : []),
    ];
  }

  return (conversation) => {
    const { method, path, headers } = conversation;
    const hasId = /^[A-Za-z0-9._:-]{1,128}$/.test(headers.get('x-request-id') ?? '');
    const faults = faultsOf([[!hasId, 'has no X-Request-ID']]);
    const template = findTemplate(document, path.split('?', 1)[0] ?? '');
    if (template === null) return [...faults, ...checkUnknownPath(conversation)];
    const item = document.paths[template] ?? {};
    const verb = method === 'HEAD' && !('head' in item) ? 'get' : method.toLowerCase();
    const operation = item[verb];
    if (operation === undefined) {
      const methods = Object.keys(item).map((name) => name.toUpperCase());
      return [...faults, ...checkUnknownMethod(conversation, methods)];
    }
    return [...faults, ...checkDocumented(operation, ['paths', template, verb], conversation)];
  };
}

function faultsOf(findings: readonly (readonly [isFault: boolean, fault: string])[]): string[] {
  return findings.filter(([isFault]) => isFault).map(([, fault]) => fault);
}

function isDocumentedType({ content }: ResponseDoc, type: string | null): boolean {
  return content === undefined ? type === null : type !== null && type in content;
}

/** A preflight is answered before anybody looks at what the path is. */
function isPreflight({ method, status, headers }: Conversation): boolean {
  return method === 'OPTIONS' && status === 204 && headers.has('access-control-allow-methods');
}

/** Refused before the path was looked at. */
function isRefusedEarly({ status }: Conversation): boolean {
  return status === 400 || status === 413;
}

function checkUnknownPath(conversation: Conversation): string[] {
  if (isPreflight(conversation)) return [];
  const isRefused = conversation.status === 404 || isRefusedEarly(conversation);
  return isRefused
    ? checkProblem(conversation)
    : [`answers ${conversation.status} where nothing is documented`];
}

function checkUnknownMethod(conversation: Conversation, methods: readonly string[]): string[] {
  const { method, status, headers } = conversation;
  if (isPreflight(conversation)) return [];
  if (isRefusedEarly(conversation)) return checkProblem(conversation);
  const allowed = methods.includes('GET') ? [...new Set([...methods, 'HEAD'])] : methods;
  const isOptions = method === 'OPTIONS' && status === 204;
  const allow = headers.get('allow');
  return [
    ...faultsOf([
      [!isOptions && status !== 405, `answers ${status} to an undocumented method`],
      [
        sorted(allow?.split(', ')) !== sorted(allowed),
        `says Allow: ${allow}, where ${allowed} are documented`,
      ],
    ]),
    ...(isOptions ? [] : checkProblem(conversation)),
  ];
}

/** What holds for every problem, whichever route it is from. */
function checkProblem({ method, status, headers, body }: Conversation): string[] {
  const type = headers.get('content-type');
  const isPage = type?.startsWith('text/html') === true;
  const faults = faultsOf([
    [headers.get('cache-control') !== 'no-store', 'is an error that may be cached'],
    [!isPage && type !== 'application/problem+json', `is an error of the type ${type}`],
  ]);
  if (isPage || method === 'HEAD' || typeof body !== 'object' || body === null) return faults;
  const problem = body as Record<string, unknown>;
  const code = String(problem.type).replace('urn:fleetlink:error:', '');
  const hasRetryAfter = /^[1-9]\d*$/.test(headers.get('retry-after') ?? '');
  return [
    ...faults,
    ...faultsOf([
      [problem.status !== status, `says status ${problem.status} and answers ${status}`],
      [problem.title !== STATUS_CODES[status], `has the title ${problem.title}`],
      [problem.detail !== problem.error, 'says two different things in detail and error'],
      [code === 'unauthorized' && !headers.has('www-authenticate'), 'has no WWW-Authenticate'],
      [code === 'rate_limited' && !hasRetryAfter, 'has no Retry-After'],
    ]),
  ];
}

/** The documented path that a real one is an instance of: literal ones first, then the ones with variables. */
function findTemplate(document: OpenApiDocument, path: string): string | null {
  if (path in document.paths) return path;
  const templates = Object.keys(document.paths).filter((template) => template.includes('{'));
  return templates.find((template) => matches(template, path)) ?? null;
}

function matches(template: string, path: string): boolean {
  if (template === '/{key}') return isUsableKey(path.slice(1));
  return new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path);
}

function escapePointer(token: string): string {
  return encodeURIComponent(token.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function sorted(names: readonly string[] | undefined): string {
  return [...(names ?? [])].sort().join(', ');
}
