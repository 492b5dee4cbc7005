// The OpenAPI document: sound by itself, and complete. That it is true, every other test of test/http proves with each
// answer it gets (test/support/openapi.ts).
import { Validator } from '@seriousme/openapi-schema-validator';
import t from 'tap';
import { startHttp } from '../support/http.ts';
import { createDocumentCheck } from '../support/openapi.ts';

t.test('the document is sound OpenAPI 3.1', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('GET', '/api/openapi.json', { key: null });
  t.equal(status, 200);
  const validator = new Validator();
  const result = await validator.validate(body as Record<string, unknown>);
  t.strictSame(result, { valid: true });
  t.equal(validator.version, '3.1');
});

t.test('the document lists every operation under a name of its own', async (t) => {
  const { document } = await startHttp(t);
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(
      ([method, { operationId }]) => `${operationId}: ${method.toUpperCase()} ${path}`,
    ),
  );
  t.strictSame(operations.sort(), [
    'createApiKey: POST /api/v1/api-keys',
    'createLink: POST /api/v1/links',
    'createLinks: POST /api/v1/links:batch',
    'deleteApiKey: DELETE /api/v1/api-keys/{id}',
    'deleteLink: DELETE /api/v1/links/{key}',
    'exportLinkClicks: GET /api/v1/links/{key}/clicks.csv',
    'followLink: GET /{key}',
    'getClickStorage: GET /api/v1/clicks/storage',
    'getLink: GET /api/v1/links/{key}',
    'getLinkStats: GET /api/v1/links/{key}/stats',
    'getReclassification: GET /api/v1/clicks:reclassify',
    'getStats: GET /api/v1/stats',
    'healthz: GET /healthz',
    'home: GET /',
    'inspectLink: HEAD /{key}',
    'listApiKeys: GET /api/v1/api-keys',
    'listEvents: GET /api/v1/events',
    'listLinkClicks: GET /api/v1/links/{key}/clicks',
    'listLinkHistory: GET /api/v1/links/{key}/history',
    'listLinks: GET /api/v1/links',
    'listUnknownKeys: GET /api/v1/unknown-keys',
    'openapi: GET /api/openapi.json',
    'patchLink: PATCH /api/v1/links/{key}',
    'putLink: PUT /api/v1/links/{key}',
    'readyz: GET /readyz',
    'reclassifyClicks: POST /api/v1/clicks:reclassify',
    'revertLink: POST /api/v1/links/{key}/revert',
    'shorten: POST /shorten',
  ]);
});

t.test('the document names the release and the address of the service', async (t) => {
  const { document } = await startHttp(t, {
    env: { RELEASE_ID: '2026-01-31.1', BASE_URL: 'https://sho.rt' },
  });
  t.equal(document.openapi, '3.1.0');
  t.match(document, { info: { title: 'Fleetlink', version: '2026-01-31.1' } });
  t.strictSame(document.servers, [{ url: 'https://sho.rt' }]);
});

t.test('the document names the conditions that a change may carry', async (t) => {
  const { document } = await startHttp(t);
  const item = document.paths['/api/v1/links/{key}'];
  const headersOf = (method: string) =>
    (item?.[method]?.parameters ?? []).flatMap(({ in: place, name }) => (place === 'header' ? [name] : []));
  t.strictSame(headersOf('get'), ['If-None-Match']);
  t.strictSame(headersOf('put'), ['If-Match', 'If-None-Match']);
  t.strictSame(headersOf('patch'), ['If-Match']);
  t.strictSame(headersOf('delete'), ['If-Match']);
});

t.test('the document says whether shortening needs a key', async (t) => {
  const keyed = [{ bearer: ['links:write'] }, { apiKey: ['links:write'] }];
  const open = await startHttp(t);
  t.strictSame(open.document.paths['/shorten']?.post?.security, [{}, ...keyed]);
  const closed = await startHttp(t, { env: { ANONYMOUS_SHORTEN: 'false' } });
  t.strictSame(closed.document.paths['/shorten']?.post?.security, keyed);
});

t.test(
  'the check that all tests ask through notices an answer that the document does not describe',
  async (t) => {
    const { document, ask } = await startHttp(t);
    const check = createDocumentCheck(document);
    const { status, headers, body } = await ask('GET', '/healthz');
    const good = { method: 'GET', path: '/healthz', sent: undefined, status, headers, body };
    t.strictSame(check(good), []);
    t.strictSame(check({ ...good, status: 418 }), ['answers 418, which is not documented']);
    t.match(check({ ...good, body: { ...(body as object), extra: 1 } }), [
      /must NOT have unevaluated properties|additional/,
    ]);
    t.strictSame(check({ ...good, path: '/healthz?x=1' }), ['accepts the query x']);
    t.match(check({ ...good, headers: new Headers() }), ['has no X-Request-ID', /content type null/]);
    t.strictSame(check({ ...good, method: 'PUT' }), [
      'answers 200 to an undocumented method',
      'says Allow: null, where GET,HEAD are documented',
      'is an error of the type application/json',
      'says status alive and answers 200',
      'has the title undefined',
    ]);
    t.strictSame(check({ ...good, path: '/nowhere/at/all' }), ['answers 200 where nothing is documented']);
  },
);
