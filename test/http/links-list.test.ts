// GET /api/v1/links: filters, search, sorting and pages that stay right while links come and go.
import t from 'tap';
import { type Ask, invalidFields, type LinkBody, makeLink, startHttp } from '../support/http.ts';

interface Page {
  readonly items: readonly LinkBody[];
  readonly next_cursor: string | null;
}

const TARGET = 'https://example.com/a';

async function list(ask: Ask, query: string): Promise<Page> {
  const { status, body } = await ask('GET', `/api/v1/links${query}`);
  if (status !== 200) throw new Error(`The list answered ${status}: ${JSON.stringify(body)}`);
  return body as Page;
}

async function listKeys(ask: Ask, query: string): Promise<string[]> {
  return (await list(ask, query)).items.map(({ key }) => key);
}

/** Follows the cursors to the end; `between` runs after each page. */
async function listAll(ask: Ask, query: string, between?: () => Promise<void>): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page: Page = await list(ask, `?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`);
    keys.push(...page.items.map(({ key }) => key));
    cursor = page.next_cursor;
    await between?.();
  }
  return keys;
}

t.test('the list begins empty, and then shows whole links, newest first', async (t) => {
  const { ask } = await startHttp(t);
  t.strictSame(await list(ask, ''), { items: [], next_cursor: null });
  const a = await makeLink(ask, { key: 'a', url: TARGET });
  const b = await makeLink(ask, { key: 'b', url: TARGET, tags: ['x'], title: 'B' });
  t.strictSame(await list(ask, ''), { items: [b, a], next_cursor: null });
});

t.test('a page has 50 links unless told otherwise', async (t) => {
  const { ask } = await startHttp(t);
  const links = Array.from({ length: 201 }, (_, index) => ({ key: `k${index}`, url: TARGET }));
  await ask('POST', '/api/v1/links:batch', { body: { links } });
  t.equal((await list(ask, '')).items.length, 50);
  t.equal((await list(ask, '?limit=1')).items.length, 1);
  const full = await list(ask, '?limit=200');
  t.equal(full.items.length, 200);
  t.type(full.next_cursor, 'string');
  t.strictSame(await list(ask, `?limit=200&cursor=${full.next_cursor}`).then(({ items }) => items.length), 1);
});

t.test('every sort lists every link once, in order', async (t) => {
  const { ask, clock } = await startHttp(t);
  for (const key of ['b', 'D', 'a', 'e', 'C']) {
    await makeLink(ask, { key, url: TARGET });
    await clock.advance(1000);
  }
  await ask('PATCH', '/api/v1/links/D', { body: { title: 'changed' } });
  const orders = {
    created_at: ['b', 'D', 'a', 'e', 'C'],
    '-created_at': ['C', 'e', 'a', 'D', 'b'],
    updated_at: ['b', 'a', 'e', 'C', 'D'],
    '-updated_at': ['D', 'C', 'e', 'a', 'b'],
    key: ['C', 'D', 'a', 'b', 'e'],
    '-key': ['e', 'b', 'a', 'D', 'C'],
  };
  for (const [sort, keys] of Object.entries(orders)) {
    t.strictSame(await listKeys(ask, `?sort=${sort}`), keys, sort);
    for (const limit of [1, 2, 5]) {
      t.strictSame(await listAll(ask, `sort=${sort}&limit=${limit}`), keys, `${sort}, ${limit} a page`);
    }
  }
});

t.test('links that come while somebody turns pages neither repeat nor hide others', async (t) => {
  const { ask } = await startHttp(t);
  const keys = Array.from({ length: 20 }, (_, index) => `m${String(index).padStart(2, '0')}`);
  for (const key of keys) await makeLink(ask, { key, url: TARGET, tags: ['old'] });
  for (const sort of ['created_at', '-created_at', 'updated_at', '-updated_at', 'key', '-key']) {
    for (const filter of ['', '&q=example', '&tag=old', '&status=enabled']) {
      let count = 0;
      const seen = await listAll(ask, `sort=${sort}&limit=3${filter}`, async () => {
        // One in front of all, one behind all, whichever way they are sorted.
        if (count++ >= 5) return;
        for (const name of ['a', 'z']) {
          await makeLink(ask, {
            key: `${name}${sort}${filter.length}${count}`.replace(/[^a-z0-9]/g, '-'),
            url: TARGET,
          });
        }
      });
      const old = seen.filter((key) => keys.includes(key));
      t.strictSame(old, sort.startsWith('-') ? [...keys].reverse() : keys, `${sort}${filter}`);
      t.equal(new Set(seen).size, seen.length);
    }
  }
});

t.test('links that go while somebody turns pages hide no others', async (t) => {
  const { ask } = await startHttp(t);
  const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const key of keys) await makeLink(ask, { key, url: TARGET });
  const first = await list(ask, '?sort=key&limit=2');
  // Also the very link that the page ended with.
  await ask('DELETE', '/api/v1/links/b?purge=true');
  await ask('DELETE', '/api/v1/links/d');
  t.strictSame(await listKeys(ask, `?sort=key&limit=2&cursor=${first.next_cursor}`), ['c', 'e']);
});

t.test('q finds a part of key, target, title or tag, whatever its case', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'AutumnSale', url: 'https://example.com/1' });
  await makeLink(ask, { key: 'b', url: 'https://shop.example/Autumn?x=1' });
  await makeLink(ask, { key: 'c', url: TARGET, title: 'In autumn we “fall” 100%_' });
  await makeLink(ask, { key: 'd', url: TARGET, tags: ['x', 'late-autumn'] });
  await makeLink(ask, { key: 'e', url: TARGET, title: 'ÄPFEL 🍎' });
  const questions = {
    autumn: ['d', 'c', 'b', 'AutumnSale'],
    AUTUMN: ['d', 'c', 'b', 'AutumnSale'],
    umnsal: ['AutumnSale'],
    'late-aut': ['d'],
    äpfel: ['e'],
    '“fall”': ['c'],
    '100%_': ['c'],
    '%': ['c'],
    _: ['c'],
    '🍎': ['e'],
    au: ['d', 'c', 'b', 'AutumnSale'],
    b: ['b'],
    zz: [],
    'autumn" OR "x': [],
    '"': [],
    '*': [],
    winter: [],
  };
  for (const [q, keys] of Object.entries(questions)) {
    const found = await listKeys(ask, `?q=${encodeURIComponent(q)}`);
    t.strictSame(found, q === 'b' ? ['b'] : keys, q);
  }
});

t.test('q follows a change of the link', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'a', url: TARGET, title: 'autumn' });
  await ask('PATCH', '/api/v1/links/a', { body: { title: 'winter', tags: ['snow'] } });
  t.strictSame(await listKeys(ask, '?q=autumn'), []);
  t.strictSame(await listKeys(ask, '?q=winter'), ['a']);
  t.strictSame(await listKeys(ask, '?q=sno'), ['a']);
  t.strictSame(await listKeys(ask, '?tag=snow'), ['a']);
});

t.test('tag and status filter exactly, and filters add up', async (t) => {
  const { ask } = await startHttp(t);
  await makeLink(ask, { key: 'on', url: TARGET, tags: ['x', 'y'] });
  await makeLink(ask, { key: 'off', url: TARGET, tags: ['x'], status: 'disabled' });
  await makeLink(ask, { key: 'gone', url: TARGET, tags: ['x'], title: 'on' });
  await ask('DELETE', '/api/v1/links/gone');
  const questions = {
    '': ['off', 'on'],
    '?status=enabled': ['on'],
    '?status=disabled': ['off'],
    '?status=deleted': ['gone'],
    '?status=all': ['gone', 'off', 'on'],
    '?tag=x': ['off', 'on'],
    '?tag=X': [],
    '?tag=x&status=all': ['gone', 'off', 'on'],
    '?tag=y': ['on'],
    '?tag=none': [],
    '?q=on&status=all': ['gone', 'on'],
    '?q=example&tag=x&status=deleted': ['gone'],
    '?q=example&tag=y&status=deleted': [],
    '?tag=x&sort=key&status=all': ['gone', 'off', 'on'],
  };
  for (const [query, keys] of Object.entries(questions))
    t.strictSame(await listKeys(ask, query), keys, query);
});

t.test('a query that is not understood is refused by name', async (t) => {
  const { ask } = await startHttp(t);
  const limit = { limit: 'expected a whole number from 1 to 200' };
  const sort = { sort: 'expected one of -created_at, created_at, -updated_at, updated_at, key, -key' };
  const plain = 'control characters and broken Unicode are not allowed';
  const cursor = {
    cursor: 'does not belong to this request; use next_cursor of the page before with the same parameters',
  };
  const forge = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const question = JSON.stringify([null, null, 'live', '-created_at']);
  const queries: Record<string, Record<string, string>> = {
    'limit=0': limit,
    'limit=201': limit,
    'limit=-1': limit,
    'limit=1.5': limit,
    'limit=': limit,
    'limit=%31e1': limit,
    'limit=99999999999999999': limit,
    'sort=clicks': sort,
    'status=live': { status: 'expected enabled, disabled, deleted or all' },
    'q=': { q: 'expected at least 1 character' },
    [`q=${'x'.repeat(201)}`]: { q: 'expected at most 200 characters' },
    'q=%00': { q: plain },
    'tag=': { tag: 'expected at least 1 character' },
    'tag=a%0Ab': { tag: plain },
    'page=2': { page: 'is not a known field' },
    __proto__: { __proto__: 'is not a known field' },
    'limit=5&limit=5': { limit: 'is given twice' },
    'q=aaa&q=bbb': { q: 'is given twice' },
    'sort=x&page=2': { ...sort, page: 'is not a known field' },
    'cursor=': cursor,
    'cursor=nonsense': cursor,
    [`cursor=${forge(null)}`]: cursor,
    [`cursor=${forge([question, 5])}`]: cursor,
    [`cursor=${forge([question, 5, -1])}`]: cursor,
    [`cursor=${forge([question, 5, 1.5])}`]: cursor,
    [`cursor=${forge([question, { a: 1 }, 1])}`]: cursor,
    [`cursor=${forge([question, 'x'.repeat(101), 1])}`]: cursor,
    [`cursor=${forge(['other', 5, 1])}`]: cursor,
  };
  for (const [query, faults] of Object.entries(queries)) {
    const { status, body } = await ask('GET', `/api/v1/links?${query}`);
    t.equal(status, 400, query);
    const named = query === '__proto__' ? JSON.parse('{"__proto__": "is not a known field"}') : faults;
    t.strictSame(body, invalidFields(named), query);
  }
  const { status } = await ask('GET', `/api/v1/links?cursor=${forge([question, 5, 1])}`);
  t.equal(status, 200, 'a cursor is a place and no secret');
});

t.test('a cursor longer than any of ours is refused', async (t) => {
  const { ask } = await startHttp(t);
  const { status, body } = await ask('GET', `/api/v1/links?cursor=${'x'.repeat(2001)}`);
  t.equal(status, 400);
  t.match(body, { errors: [{ field: 'cursor' }] });
});

t.test('a cursor belongs to its filters and its sort', async (t) => {
  const { ask } = await startHttp(t);
  for (const key of ['a', 'b', 'c']) await makeLink(ask, { key, url: TARGET, tags: ['x'] });
  const { next_cursor: cursor } = await list(ask, '?limit=1&tag=x&sort=key');
  t.strictSame(await listKeys(ask, `?limit=1&tag=x&sort=key&cursor=${cursor}`), ['b']);
  t.strictSame(
    await listKeys(ask, `?limit=2&tag=x&sort=key&cursor=${cursor}`),
    ['b', 'c'],
    'but not to its limit',
  );
  for (const query of [
    'tag=x',
    'sort=key',
    'tag=x&sort=-key',
    'tag=y&sort=key',
    'tag=x&sort=key&q=a',
    'tag=x&sort=key&status=all',
  ]) {
    const { status } = await ask('GET', `/api/v1/links?${query}&cursor=${cursor}`);
    t.equal(status, 400, query);
  }
  const { status } = await ask('GET', `/api/v1/events?cursor=${cursor}`);
  t.equal(status, 400, 'events');
});

t.test('a filter that many links pass is walked through, page by page', async (t) => {
  const { ask } = await startHttp(t, { env: { KEY_CREATES_PER_MINUTE: '0' } });
  const make = (from: number) =>
    Array.from({ length: 1000 }, (_, index) => ({
      key: `k${String(from + index).padStart(5, '0')}`,
      url: TARGET,
      tags: ['many', ...((from + index) % 100 === 0 ? ['few'] : [])],
      status: (from + index) % 2 === 0 ? 'enabled' : 'disabled',
    }));
  for (const from of [0, 1000]) await ask('POST', '/api/v1/links:batch', { body: { links: make(from) } });
  const few = Array.from({ length: 20 }, (_, index) => `k${String(index * 100).padStart(5, '0')}`);
  for (const sort of ['key', 'created_at', 'updated_at']) {
    t.strictSame(await listAll(ask, `sort=${sort}&tag=few&limit=7`), few, sort);
    t.equal((await listAll(ask, `sort=${sort}&tag=many&q=example&limit=200`)).length, 2000, sort);
    t.equal((await listAll(ask, `sort=-${sort}&q=ex&status=disabled&limit=200`)).length, 1000, sort);
  }
});
