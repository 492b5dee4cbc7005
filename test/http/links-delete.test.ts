// Deleting links: what a deleted link still answers, bringing it back, the 30 days that its key stays reserved, purging.
import t from 'tap';
import {
  linkBody,
  makeKey,
  makeLink,
  optionsBody,
  problem,
  START,
  startHttp,
  timeAfter,
} from '../support/http.ts';

const TARGET = 'https://example.com/a';
const OTHER = 'https://example.org/';
const DAY_MS = 24 * 60 * 60 * 1000;
const TAKEN = problem(
  'conflict',
  'The key "autumn" is taken. Choose another, or leave it out to get one made.',
  {
    key: 'is taken',
  },
);

t.test('DELETE is answered with 204, and the link is gone from then on', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const { status, body, headers } = await ask('DELETE', '/api/v1/links/autumn');
  t.equal(status, 204);
  t.equal(body, null);
  t.equal(headers.get('content-type'), null);

  const redirect = await ask('GET', '/autumn', { key: null });
  t.equal(redirect.status, 410);
  t.strictSame(redirect.body, problem('gone', 'This link was deleted.'));
  const get = await ask('GET', '/api/v1/links/autumn');
  t.equal(get.status, 410);
  t.strictSame(
    get.body,
    problem(
      'gone',
      'The link "autumn" is deleted. It can be read as /api/v1/links/id:1, and brought back by reverting it.',
    ),
  );
  const gone = problem('gone', 'This link is deleted. Revert it to an earlier version to bring it back.');
  for (const ref of ['autumn', 'id:1']) {
    const patch = await ask('PATCH', `/api/v1/links/${ref}`, { body: { title: 'x' } });
    t.equal(patch.status, 410);
    t.strictSame(patch.body, gone);
    const again = await ask('DELETE', `/api/v1/links/${ref}`);
    t.equal(again.status, 410);
    t.strictSame(again.body, gone);
  }
});

t.test('the key of a deleted link is taken, for PUT, POST, a batch and shortening', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('DELETE', '/api/v1/links/autumn');
  const calls = [
    ['PUT', '/api/v1/links/autumn', { url: OTHER }],
    ['POST', '/api/v1/links', { url: OTHER, key: 'autumn' }],
    ['POST', '/shorten', { url: OTHER, key: 'autumn' }],
  ] as const;
  for (const [method, path, body] of calls) {
    const answer = await ask(method, path, { body });
    t.equal(answer.status, 409, `${method} ${path}`);
    t.strictSame(answer.body, TAKEN);
  }
  const batch = await ask('POST', '/api/v1/links:batch', {
    body: { links: [{ url: OTHER, key: 'autumn' }] },
  });
  t.equal(batch.status, 409);
});

t.test(
  'a deleted link is still read by its id, in its history and in the list of deleted ones',
  async (t) => {
    const { ask, clock } = await startHttp(t);
    await makeLink(ask, { key: 'autumn', url: TARGET });
    await clock.advance(1000);
    await ask('DELETE', '/api/v1/links/autumn');
    const deleted = linkBody({
      key: 'autumn',
      url: TARGET,
      status: 'deleted',
      version: 2,
      seq: 2,
      updated_at: timeAfter(1000),
    });
    const byId = await ask('GET', '/api/v1/links/id:1');
    t.equal(byId.status, 200);
    t.equal(byId.headers.get('etag'), '"2"');
    t.strictSame(byId.body, deleted);
    t.strictSame((await ask('GET', '/api/v1/links')).body, { items: [], next_cursor: null });
    for (const status of ['deleted', 'all']) {
      const { body } = await ask('GET', `/api/v1/links?status=${status}`);
      t.strictSame(body, { items: [deleted], next_cursor: null });
    }
    for (const ref of ['autumn', 'id:1']) {
      const { body } = await ask('GET', `/api/v1/links/${ref}/history?limit=1`);
      t.match(body, {
        items: [
          {
            version: 2,
            seq: 2,
            type: 'deleted',
            by: 'api-key:1',
            at: timeAfter(1000),
            before: optionsBody({ url: TARGET }),
            after: optionsBody({ url: TARGET, status: 'deleted' }),
          },
        ],
      });
    }
  },
);

t.test('reverting brings a deleted link back', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET, tags: ['a'] });
  await ask('DELETE', '/api/v1/links/autumn');
  const { status, headers, body } = await ask('POST', '/api/v1/links/autumn/revert', {
    body: { version: 1 },
  });
  t.equal(status, 200);
  t.equal(headers.get('etag'), '"3"');
  t.strictSame(body, { ...link, version: 3, seq: 3 });
  t.equal((await ask('GET', '/autumn', { key: null })).status, 302);
  t.strictSame((await ask('GET', '/api/v1/links?tag=a')).body, { items: [body], next_cursor: null });
});

t.test('after 30 days the key may be taken again, and the old link is reached by its id alone', async (t) => {
  const { ask, clock } = await startHttp(t);
  const old = await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(30 * DAY_MS - 1);
  t.strictSame((await ask('POST', '/api/v1/links', { body: { url: OTHER, key: 'autumn' } })).body, TAKEN);
  await clock.advance(1);
  // Until somebody takes it, nothing changes for those who follow it.
  t.equal((await ask('GET', '/autumn', { key: null })).status, 410);
  t.equal((await ask('GET', '/api/v1/links/autumn')).status, 410);
  const heir = await makeLink(ask, { key: 'autumn', url: OTHER });
  const at = timeAfter(30 * DAY_MS);
  t.strictSame(
    heir,
    linkBody({ id: heir.id, key: 'autumn', url: OTHER, seq: 3, created_at: at, updated_at: at }),
  );
  const redirect = await ask('GET', '/autumn', { key: null });
  t.equal(redirect.status, 302);
  t.equal(redirect.headers.get('location'), OTHER);
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, heir);
  t.strictSame((await ask('GET', '/api/v1/links/id:1')).body, {
    ...old,
    status: 'deleted',
    version: 2,
    seq: 2,
  });
  t.match((await ask('GET', '/api/v1/links/id:1/history')).body, { items: [{ version: 2 }, { version: 1 }] });
  const revert = await ask('POST', '/api/v1/links/id:1/revert', { body: { version: 1 } });
  t.equal(revert.status, 409);
  t.strictSame(
    revert.body,
    problem('conflict', 'Another link has this key now. Make a new link under another key.'),
  );
});

t.test('PUT takes a key that is free again, as a new link', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(30 * DAY_MS);
  const conditional = await ask('PUT', '/api/v1/links/autumn', {
    body: { url: OTHER },
    headers: { 'if-match': '*' },
  });
  t.equal(conditional.status, 412);
  const { status, body } = await ask('PUT', '/api/v1/links/autumn', { body: { url: OTHER } });
  t.equal(status, 201);
  t.match(body, { version: 1, url: OTHER });
  t.not((body as { id: number }).id, 1);
});

t.test('a link that came back starts its 30 days anew when it is deleted again', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(29 * DAY_MS);
  await ask('POST', '/api/v1/links/autumn/revert', { body: { version: 1 } });
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(29 * DAY_MS);
  t.equal((await ask('PUT', '/api/v1/links/autumn', { body: { url: OTHER } })).status, 409);
  await clock.advance(DAY_MS);
  t.equal((await ask('PUT', '/api/v1/links/autumn', { body: { url: OTHER } })).status, 201);
});

t.test('only an administrator may purge', async (t) => {
  const { ask } = await startHttp(t);
  const link = await makeLink(ask, { key: 'autumn', url: TARGET });
  const writer = await makeKey(ask, ['links:read', 'links:write']);
  const refused = await ask('DELETE', '/api/v1/links/autumn?purge=true', { key: writer });
  t.equal(refused.status, 403);
  t.strictSame(
    refused.body,
    problem(
      'forbidden',
      'Only a key with the scope admin may purge. Without purge=true the link is deleted and can be brought back.',
    ),
  );
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, link);
  t.equal((await ask('DELETE', '/api/v1/links/autumn?purge=false', { key: writer })).status, 204);
});

t.test('purging leaves nothing but the event that says so, and frees the key at once', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET, title: 'Secret plan', tags: ['secret'] });
  await ask('PATCH', '/api/v1/links/autumn', { body: { title: 'Other secret' } });
  await clock.advance(1000);
  const { status, body } = await ask('DELETE', '/api/v1/links/autumn?purge=true');
  t.equal(status, 204);
  t.equal(body, null);
  t.strictSame((await ask('GET', '/api/v1/events')).body, {
    items: [
      {
        seq: 3,
        type: 'purged',
        link_id: 1,
        domain: 'sho.rt',
        key: 'autumn',
        version: 3,
        by: 'api-key:1',
        at: timeAfter(1000),
        link: null,
      },
    ],
    next_cursor: null,
  });
  for (const path of [
    '/autumn',
    '/api/v1/links/autumn',
    '/api/v1/links/id:1',
    '/api/v1/links/id:1/history',
  ]) {
    t.equal((await ask('GET', path)).status, 404, path);
  }
  for (const query of ['status=all', 'status=all&q=secret', 'status=all&tag=secret']) {
    t.strictSame((await ask('GET', `/api/v1/links?${query}`)).body, { items: [], next_cursor: null });
  }
  t.match(await makeLink(ask, { key: 'autumn', url: OTHER }), { id: 2, version: 1 });
});

t.test('a deleted link and one whose key was taken can be purged by id', async (t) => {
  const { ask, clock } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  await ask('DELETE', '/api/v1/links/autumn');
  await clock.advance(30 * DAY_MS);
  const heir = await makeLink(ask, { key: 'autumn', url: OTHER });
  t.equal((await ask('DELETE', '/api/v1/links/id:1?purge=true')).status, 204);
  t.equal((await ask('GET', '/api/v1/links/id:1')).status, 404);
  t.strictSame((await ask('GET', '/api/v1/links/autumn')).body, heir);
  await ask('DELETE', '/api/v1/links/autumn');
  t.equal((await ask('DELETE', '/api/v1/links/autumn?purge=true')).status, 204);
});

t.test('DELETE refuses what it does not know', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'autumn', url: TARGET });
  const queries = {
    'purge=1': { field: 'purge', message: 'expected true or false' },
    'purge=true&purge=true': { field: 'purge', message: 'is given twice' },
    'force=true': { field: 'force', message: 'is not a known field' },
  };
  for (const [query, fault] of Object.entries(queries)) {
    const { status, body } = await ask('DELETE', `/api/v1/links/autumn?${query}`);
    t.equal(status, 400, query);
    t.match(body, { errors: [fault] });
  }
  t.match((await ask('GET', '/api/v1/links/autumn')).body, { version: 1, updated_at: START });
});
