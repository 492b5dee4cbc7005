// Who may call what: every operation of the OpenAPI document with every kind of key.
import t from 'tap';
import { type HttpService, makeKey, problem, startHttp, timeAfter } from '../support/http.ts';
import type { Operation } from '../support/openapi.ts';

const OPERATIONS: Readonly<Record<string, readonly string[]>> = {
  'links:read': [
    ...['listLinks', 'getLink', 'listLinkHistory', 'listEvents'],
    ...['getLinkStats', 'getStats', 'listLinkClicks', 'exportLinkClicks', 'listUnknownKeys'],
  ],
  'links:write': ['createLink', 'createLinks', 'putLink', 'patchLink', 'deleteLink', 'revertLink', 'shorten'],
  admin: [
    ...['listApiKeys', 'createApiKey', 'deleteApiKey', 'getClickStorage'],
    ...['reclassifyClicks', 'getReclassification'],
  ],
  none: ['home', 'healthz', 'readyz', 'openapi', 'followLink', 'inspectLink'],
};
const env = { ANONYMOUS_SHORTEN: 'false', AUTH_FAILURES_PER_MINUTE: '0' };

interface Call {
  readonly operation: Operation;
  readonly method: string;
  readonly path: string;
}

/** Each operation as a call that changes nothing: with a body of {} and a link that is not there. */
function callsOf({ document }: HttpService): Call[] {
  return Object.entries(document.paths).flatMap(([template, item]) =>
    Object.entries(item).map(([verb, operation]) => ({
      operation,
      method: verb.toUpperCase(),
      path: template.replace('{key}', 'missing').replace('{id}', '999'),
    })),
  );
}

function call({ ask }: HttpService, { operation, method, path }: Call, key: string | null) {
  return ask(method, path, { ...(operation.requestBody && { body: {} }), key });
}

function scopeOf({ operationId }: Operation): string | undefined {
  return Object.keys(OPERATIONS).find((scope) => OPERATIONS[scope]?.includes(operationId));
}

t.test('the document says of each operation which scope it needs', async (t) => {
  const service = await startHttp(t, { env });
  for (const { operation } of callsOf(service)) {
    const scope = scopeOf(operation);
    const expected = scope === 'none' ? [] : [{ bearer: [scope] }, { apiKey: [scope] }];
    t.strictSame(operation.security, expected, operation.operationId);
  }
});

t.test('each operation refuses whoever has no key, a wrong one or an expired one', async (t) => {
  const service = await startHttp(t, { env });
  const expired = await makeKey(service.ask, ['admin'], { expires_at: timeAfter(1) });
  await service.clock.advance(1);
  for (const { operation, ...rest } of callsOf(service)) {
    for (const key of [null, 'wrong', expired]) {
      const { status } = await call(service, { operation, ...rest }, key);
      t.equal(status === 401, scopeOf(operation) !== 'none', `${operation.operationId}: ${status}`);
    }
  }
});

t.test('each operation takes the scope that it needs, and no other but admin', async (t) => {
  const service = await startHttp(t, { env });
  const scoped = callsOf(service).filter(({ operation }) => scopeOf(operation) !== 'none');
  for (const held of ['links:read', 'links:write', 'admin']) {
    const key = await makeKey(service.ask, [held]);
    for (const one of scoped) {
      const scope = scopeOf(one.operation);
      const { status, body } = await call(service, one, key);
      const name = `${one.operation.operationId} with ${held}: ${status}`;
      if (held === scope || held === 'admin') t.ok([200, 202, 400, 404].includes(status), name);
      else t.strictSame(body, problem('forbidden', `The API key does not have the scope ${scope}.`), name);
    }
  }
});

t.test('who may not call is refused before the request is looked at', async (t) => {
  const { ask } = await startHttp(t);
  const reader = await makeKey(ask, ['links:read']);
  const path = '/api/v1/links?nonsense=1';
  const options = { body: '{', headers: { 'content-type': 'text/plain' } };
  t.equal((await ask('POST', path, { ...options, key: null })).status, 401);
  t.equal((await ask('POST', path, { ...options, key: reader })).status, 403);
  t.equal((await ask('POST', path, options)).status, 415);
});

t.test('a path without routes and a method that a path lacks need no key', async (t) => {
  const { ask } = await startHttp(t);
  t.equal((await ask('GET', '/api/v2/links', { key: null })).status, 404);
  t.equal((await ask('PUT', '/api/v1/links', { key: null })).status, 405);
});
