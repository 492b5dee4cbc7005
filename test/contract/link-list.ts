/**
 * The contract of LinkStore.listLinks: every sort and filter, pages that lose and repeat nothing, text search, and the
 * bounded work of a page on a store with more matches than are ever sorted at once.
 */

import type { Test } from 'tap';
import type { Link } from '../../app/links/link.ts';
import { LINK_SORTS, type LinkQuery, type LinkSort, type LinkStore } from '../../app/links/link-store.ts';
import {
  applyForLink,
  applyOne,
  createAs,
  EVERYTHING,
  listAll,
  listKeys,
  type OpenStore,
  optionsFor,
  T0,
} from './store.ts';

export function testLinkList(t: Test, name: string, openStore: OpenStore): Promise<unknown> {
  return t.test(`${name}: lists of links`, async (t) => {
    await t.test('an empty store', (t) => testEmpty(t, openStore));
    await t.test('sorts and pages', (t) => testPages(t, openStore));
    await t.test('pages while others write', (t) => testMovingPages(t, openStore));
    await t.test('text search', (t) => testSearch(t, openStore));
    await t.test('filters', (t) => testFilters(t, openStore));
    await t.test('many links', (t) => testMany(t, openStore));
  });
}

async function testEmpty(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const filters: Partial<LinkQuery>[] = [
    {},
    { q: 'a' },
    { q: 'ab' },
    { q: 'abc' },
    { tag: 'a' },
    { status: 'live' },
    { status: 'enabled' },
    { status: 'deleted' },
    { q: 'abc', tag: 'a', status: 'disabled' },
    { after: { value: 10, id: 10 } },
  ];
  for (const sort of LINK_SORTS) {
    for (const filter of filters) {
      const page = await links.listLinks({ ...EVERYTHING, ...filter, sort });
      t.same(page, { items: [], next: null }, `${sort} ${JSON.stringify(filter)}`);
    }
  }
}

const COMPARE: Readonly<Record<LinkSort, (a: Link, b: Link) => number>> = {
  created_at: (a, b) => a.id - b.id,
  '-created_at': (a, b) => b.id - a.id,
  updated_at: (a, b) => a.seq - b.seq,
  '-updated_at': (a, b) => b.seq - a.seq,
  key: (a, b) => compareText(a.key, b.key) || a.id - b.id,
  '-key': (a, b) => compareText(b.key, a.key) || b.id - a.id,
};

/** By code unit: upper case comes before lower case, whatever the language of the database. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function sortLinks(links: readonly Link[], sort: LinkSort): Link[] {
  return links.toSorted(COMPARE[sort]);
}

async function testPages(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const keys = ['b', 'B', 'a', '_', '-', 'A', '0', 'aa', 'a-', 'a_', 'Z', 'z', 'a0', 'aB', 'ab', 'x'];
  for (const key of keys) await applyOne(links, createAs(key));
  for (const key of ['a', 'z', 'B']) {
    await applyOne(links, { type: 'update', ref: { key }, changes: { title: key }, atMs: T0 + 1 });
  }
  // Two rows with one key: the sort by key falls back on the id.
  await applyOne(links, { type: 'delete', ref: { key: 'aa' } });
  await applyOne(links, { ...createAs('aa'), atMs: T0 + 60 * 24 * 60 * 60 * 1000 });
  const { items: all } = await listAll(links);
  t.equal(all.length, keys.length + 1);

  for (const sort of LINK_SORTS) {
    await t.test(`${sort}: pages of every size hold each link once and in order`, async (t) => {
      for (const limit of [1, 2, 3, 5, 16, 17, 18, 200]) {
        const { items, pages } = await listAll(links, { sort, limit });
        t.same(items, sortLinks(all, sort), `limit ${limit}`);
        t.equal(pages.length, Math.ceil(all.length / limit), `limit ${limit}: no empty page at the end`);
      }
    });
  }

  await t.test('a page ends with the place of its last link', async (t) => {
    const page = await links.listLinks({ ...EVERYTHING, sort: 'key', limit: 2 });
    t.same(
      page.items.map(({ key }) => key),
      ['-', '0'],
    );
    t.same(page.next, { value: '0', id: page.items[1]?.id });
  });
}

async function testMovingPages(t: Test, openStore: OpenStore): Promise<void> {
  for (const sort of LINK_SORTS) {
    await t.test(`${sort}: what is there throughout is seen exactly once`, async (t) => {
      const { links } = await openStore(t);
      const there = [];
      for (let n = 0; n < 30; n++) there.push((await applyForLink(links, createAs(`k${n * 2 + 100}`))).key);
      const seen: string[] = [];
      let after: LinkQuery['after'] = null;
      let round = 0;
      do {
        const page = await links.listLinks({ ...EVERYTHING, sort, limit: 4, after });
        seen.push(...page.items.map(({ key }) => key));
        after = page.next;
        // In front of, between and behind what was read already.
        await Promise.all([
          applyOne(links, createAs(`k${99 - round}`)),
          applyOne(links, createAs(`k${101 + round * 6}`)),
          applyOne(links, createAs(`k${199 + round}`)),
          applyOne(links, { type: 'purge', ref: { key: `k${95 + round * 6}` } }),
        ]);
        round++;
      } while (after !== null && round < 50);
      t.equal(after, null);
      t.equal(new Set(seen).size, seen.length, 'nothing twice');
      t.same(
        there.filter((key) => !seen.includes(key)),
        [],
        'nothing lost',
      );
    });
  }
}

async function testSearch(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const put = (key: string, url: string, more: { title?: string; tags?: string[] } = {}) =>
    applyOne(links, { type: 'put', key, options: optionsFor(url, more) });
  await put('Autumn-2026', 'https://shop.example/SALE?a=1&b=100%25_off');
  await put('nl', 'https://news.example/', { title: 'Herbst: GRÜSSE aus Zürich', tags: ['Newsletter'] });
  await put('gr', 'https://news.example/gr', { title: 'και ΟΔΟΣΑ', tags: ['Ελλάδα'] });
  await put('emoji', 'https://example.org/', { title: 'Party 🎉🎊 now', tags: ['日本語タグ'] });
  await put('ops', 'https://example.org/x', {
    title: 'say "hello" AND NOT (bye*) OR col:val ^a NEAR/3 {b} - + \\ \'q\' 50%_x',
  });

  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['autumn', ['Autumn-2026']],
    ['AUTUMN-20', ['Autumn-2026']],
    ['sale', ['Autumn-2026']],
    ['newsletter', ['nl']],
    ['grüsse', ['nl']],
    ['ZÜRICH', ['nl']],
    ['Zu\u0308rich', ['nl']],
    ['zurich', []],
    ['οδος', ['gr']],
    ['ΟΔΟΣΑ', ['gr']],
    ['ΟΔΟΣ', ['gr']],
    ['οδοσ', ['gr']],
    ['ΕΛΛΆΔΑ', ['gr']],
    ['🎉', ['emoji']],
    ['🎉🎊', ['emoji']],
    ['🎉🎊 now', ['emoji']],
    ['本', ['emoji']],
    ['日本', ['emoji']],
    ['日本語', ['emoji']],
    ['n', ['Autumn-2026', 'nl', 'gr', 'emoji', 'ops']],
    ['nl', ['nl']],
    ['gr', ['nl', 'gr']],
    ['"hello"', ['ops']],
    ['say "', ['ops']],
    ['"', ['ops']],
    ['""', []],
    ["'q'", ['ops']],
    ['hello AND bye', []],
    ['AND NOT', ['ops']],
    ['autumn OR hello', []],
    ['hel*', []],
    ['bye*', ['ops']],
    ['col:val', ['ops']],
    ['col:', ['ops']],
    ['NEAR/3', ['ops']],
    ['{b} -', ['ops']],
    ['^a', ['ops']],
    ['\\', ['ops']],
    ['%', ['Autumn-2026', 'ops']],
    ['_', ['Autumn-2026', 'ops']],
    ['50%_x', ['ops']],
    ['50%%x', []],
    ['a_tumn', []],
    ['a%n', []],
    ['100%25', ['Autumn-2026']],
    ['   ', []],
    ['no such text', []],
    ['example', ['Autumn-2026', 'nl', 'gr', 'emoji', 'ops']],
  ];
  for (const [q, keys] of cases) {
    t.same(await listKeys(links, { q }), keys, `q=${q}`);
  }
  for (const sort of LINK_SORTS) {
    const expected = sortLinks((await listAll(links)).items, sort).map(({ key }) => key);
    t.same(await listKeys(links, { q: 'example', sort, limit: 2 }), expected, `example, ${sort}`);
    t.same(await listKeys(links, { q: 'e', sort, limit: 2 }), expected, `e, ${sort}`);
  }

  await t.test('does not reach from one field into the next', async (t) => {
    t.same(await listKeys(links, { q: 'nlhttps' }), []);
    t.same(await listKeys(links, { q: 'zürichnews' }), []);
  });

  await t.test('finds what the link is now, not what it was', async (t) => {
    await applyOne(links, {
      type: 'update',
      ref: { key: 'nl' },
      changes: { title: 'Spring', tags: ['Mail'] },
    });
    t.same(await listKeys(links, { q: 'zürich' }), []);
    t.same(await listKeys(links, { q: 'newsletter' }), []);
    t.same([await listKeys(links, { q: 'spring' }), await listKeys(links, { q: 'mail' })], [['nl'], ['nl']]);
  });
}

async function testFilters(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  await applyOne(links, createAs('one', { tags: ['red', 'Blue'], title: 'first' }));
  await applyOne(links, createAs('two', { tags: ['red'], status: 'disabled', title: 'second' }));
  await applyOne(links, createAs('three', { tags: ['Blue', 'redder'], title: 'first' }));
  await applyOne(links, createAs('four', { tags: ['red'], title: 'first' }));
  await applyOne(links, { type: 'delete', ref: { key: 'four' } });
  await applyOne(links, createAs('five', { title: 'fifth' }));

  const cases: readonly (readonly [Partial<LinkQuery>, readonly string[]])[] = [
    [{ status: 'all' }, ['one', 'two', 'three', 'four', 'five']],
    [{ status: 'live' }, ['one', 'two', 'three', 'five']],
    [{ status: 'enabled' }, ['one', 'three', 'five']],
    [{ status: 'disabled' }, ['two']],
    [{ status: 'deleted' }, ['four']],
    [{ tag: 'red' }, ['one', 'two', 'four']],
    [{ tag: 'Blue' }, ['one', 'three']],
    [{ tag: 'blue' }, []],
    [{ tag: 're' }, []],
    [{ tag: 'red', status: 'live' }, ['one', 'two']],
    [{ tag: 'red', status: 'disabled' }, ['two']],
    [{ tag: 'red', status: 'deleted', q: 'first' }, ['four']],
    [{ q: 'first' }, ['one', 'three', 'four']],
    [{ q: 'first', status: 'enabled' }, ['one', 'three']],
    [{ q: 'first', tag: 'Blue', status: 'live' }, ['one', 'three']],
    [{ q: 'f', status: 'enabled' }, ['one', 'three', 'five']],
    [{ q: 'fi', tag: 'red', status: 'all' }, ['one', 'four']],
    [{ q: 'redder', tag: 'red' }, []],
    [{ q: 'o', status: 'disabled' }, ['two']],
  ];
  for (const sort of LINK_SORTS) {
    const position = new Map(sortLinks((await listAll(links)).items, sort).map(({ key }, n) => [key, n]));
    for (const [filter, keys] of cases) {
      const expected = keys.toSorted((a, b) => (position.get(a) ?? 0) - (position.get(b) ?? 0));
      t.same(await listKeys(links, { ...filter, sort }), expected, `${sort} ${JSON.stringify(filter)}`);
      t.same(await listKeys(links, { ...filter, sort, limit: 1 }), expected, 'one by one');
    }
  }
}

/** More than the 10,000 that are looked at for one page. */
const MANY = 10_600;
/** More than the 4,000 matches that are fetched and sorted. */
const COMMON = 4_100;

async function testMany(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  await fill(links);
  const common = Array.from({ length: COMMON }, (_, n) => keyAt(n * 2));

  await t.test('more than 4,000 matches of a text come in order, page by page', async (t) => {
    for (const sort of LINK_SORTS) {
      const { items, pages } = await listAll(links, { q: 'common', sort });
      t.same(
        items.map(({ key }) => key),
        sort.startsWith('-') ? common.toReversed() : common,
        sort,
      );
      t.ok(
        pages.slice(0, 5).every((size) => size === 200),
        `${sort}: full pages first`,
      );
    }
  });

  await t.test('more than 4,000 matches of a tag come in order, page by page', async (t) => {
    for (const sort of LINK_SORTS) {
      const keys = await listKeys(links, { tag: 'common', sort });
      t.same(keys, sort.startsWith('-') ? common.toReversed() : common, sort);
    }
  });

  await t.test('two common filters together, and a common one with a rare one', async (t) => {
    t.same(await listKeys(links, { q: 'common', tag: 'common', status: 'live' }), common);
    t.same(await listKeys(links, { q: 'common', tag: 'rare' }), [keyAt(4)]);
    t.same(await listKeys(links, { q: 'last', tag: 'common' }), []);
    t.same(await listKeys(links, { q: 'common', status: 'disabled' }), []);
    t.same(await listKeys(links, { status: 'disabled' }), [keyAt(MANY - 1)]);
  });

  await t.test('a page that looked at its share in vain is short and says where to go on', async (t) => {
    // Two characters: no index helps, and only the last link of the walk has them.
    for (const sort of ['created_at', 'updated_at', 'key'] as const) {
      const first = await links.listLinks({ ...EVERYTHING, q: '~~', sort });
      t.same(first.items, [], sort);
      t.not(first.next, null, sort);
      const second = await links.listLinks({ ...EVERYTHING, q: '~~', sort, after: first.next });
      t.same(
        second.items.map(({ key }) => key),
        [keyAt(MANY - 1)],
        sort,
      );
      t.equal(second.next, null, sort);
    }
    t.same((await listAll(links, { q: '~~', sort: '-created_at' })).pages, [1, 0]);
    t.same((await listAll(links, { q: '^^' })).pages, [0, 0]);
  });

  await t.test('a text of parts that most links have is found where it stands as a whole', async (t) => {
    for (const sort of LINK_SORTS) {
      t.same(await listKeys(links, { q: 'green blue red', sort }), [keyAt(MANY - 2)], sort);
      t.same(await listKeys(links, { q: 'blue red green blue', sort }), [], sort);
    }
  });

  await t.test('every link comes once in each order', async (t) => {
    const keys = Array.from({ length: MANY }, (_, n) => keyAt(n));
    for (const sort of ['-key', '-updated_at'] as const) {
      t.same(await listKeys(links, { sort }), keys.toReversed(), sort);
    }
    t.same(await listKeys(links, { q: 'x' }), keys, 'one character that all have');
  });
}

function keyAt(n: number): string {
  return `x${String(n).padStart(5, '0')}`;
}

function titleAt(n: number): string {
  if (n === MANY - 2) return 'green blue red';
  return n % 2 === 0 ? 'red green blue' : 'blue red green';
}

async function fill(links: LinkStore): Promise<void> {
  const commands = Array.from({ length: MANY }, (_, n) => {
    const isCommon = n % 2 === 0 && n < COMMON * 2;
    const isLast = n === MANY - 1;
    return createAs(keyAt(n), {
      url: 'https://e.x/',
      title: isLast ? '~~ last' : titleAt(n),
      tags: [...(isCommon ? ['common'] : []), ...(n === 4 ? ['rare'] : [])],
      status: isLast ? 'disabled' : 'enabled',
    });
  });
  for (let from = 0; from < MANY; from += 1000) await links.apply([commands.slice(from, from + 1000)]);
}
