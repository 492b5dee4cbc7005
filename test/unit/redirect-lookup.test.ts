// What redirects remember of links is what is stored, whoever changed it: here a second process, on the same file.
import { deepStrictEqual } from 'node:assert/strict';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { nextTurn } from '../../app/kernel/portions.ts';
import type { RedirectFacts } from '../../app/links/link.ts';
import type { LinkCommand } from '../../app/links/link-store.ts';
import { createRedirectLookup } from '../../app/store/sqlite/redirect-lookup.ts';
import type { Store } from '../../app/store/store.ts';
import { propertyRuns } from '../support/property.ts';
import { makeFolder } from '../support/service.ts';
import { watchStatements } from '../support/statements.ts';
import { openStore } from '../support/store.ts';

const AT = Date.UTC(2026, 0, 31, 12);
const WHO = { by: 'api-key:1', atMs: AT };
const OPTIONS = {
  title: null,
  tags: [],
  status: 'enabled',
  redirectStatus: 302,
  expiresAtMs: null,
  maxClicks: null,
} as const;

function create(key: string, url = `https://example.com/${key}`): LinkCommand {
  return { type: 'create', candidates: [key], options: { ...OPTIONS, url }, reuseEqual: false, ...WHO };
}

function update(key: string, url: string): LinkCommand {
  return { type: 'update', ref: { key }, changes: { url }, ifVersion: null, ...WHO };
}

async function openTwo(t: Test) {
  const dataDir = makeFolder(t);
  const [ours, others] = [await openStore({ dataDir }), await openStore({ dataDir })];
  t.teardown(ours.close);
  t.teardown(others.close);
  const urlOf = async (key: string) => (await ours.links.lookup(key))?.url ?? null;
  return { dataDir, ours, others, urlOf };
}

t.test('a link is read once, and found again without its row', async (t) => {
  const { ours, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  const watch = watchStatements(t);
  for (let time = 0; time < 3; time++) {
    t.equal(await urlOf('spring'), 'https://example.com/spring');
    await nextTurn();
  }
  const readings = watch.take().filter(({ sql }) => /from links\b/.test(sql));
  t.equal(readings.length, 1);
  t.same(ours.lookups(), { remembered: 2, read: 1 });
});

t.test('a turn sees one state, the next one what another process changed meanwhile', async (t) => {
  const { ours, others, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring'), create('autumn')]]);
  const before = [await urlOf('spring'), await urlOf('nobody')];
  t.same(before, ['https://example.com/spring', null]);
  await others.links.apply([[update('spring', 'https://example.com/2'), create('nobody')]]);
  await nextTurn();
  t.same(
    [await urlOf('spring'), await urlOf('nobody')],
    ['https://example.com/2', 'https://example.com/nobody'],
  );
  t.equal(await urlOf('autumn'), 'https://example.com/autumn');
});

t.test('a purged link is gone', async (t) => {
  const { ours, others, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  await urlOf('spring');
  await others.links.apply([[{ type: 'purge', ref: { key: 'spring' }, ifVersion: null, ...WHO }]]);
  await nextTurn();
  t.equal(await urlOf('spring'), null);
});

t.test('what changed beside links leaves them remembered', async (t) => {
  const { ours, others, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  await urlOf('spring');
  const watch = watchStatements(t);
  await others.drain.writeDrainUntilMs(AT + 1000);
  await nextTurn();
  t.equal(await urlOf('spring'), 'https://example.com/spring');
  t.same(
    watch.take().filter(({ sql }) => /select.*from links\b/s.test(sql)),
    [],
  );
});

t.test('after very many changes everything is read anew', async (t) => {
  const { ours, others, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  await urlOf('spring');
  const many = Array.from({ length: 1500 }, (_, index) => create(`k${index}`));
  await others.links.apply([[...many, update('spring', 'https://example.com/2')]]);
  await nextTurn();
  t.equal(await urlOf('spring'), 'https://example.com/2');
  await others.links.apply([[update('spring', 'https://example.com/3')]]);
  await nextTurn();
  t.equal(await urlOf('spring'), 'https://example.com/3', 'and followed from there on');
});

t.test('where a number is missing among those of the changes, everything is read anew', async (t) => {
  const { dataDir, ours, others, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring'), create('summer'), create('autumn')]]);
  for (const key of ['spring', 'summer', 'autumn']) await urlOf(key);
  await others.links.apply([
    [update('summer', 'https://example.com/2'), update('spring', 'https://example.com/2')],
  ]);
  await others.links.apply([[update('autumn', 'https://example.com/2')]]);
  const db = new Database(join(dataDir, 'links.db'));
  t.teardown(() => db.close());
  db.exec("delete from events where key = 'spring' and version = 2");
  await nextTurn();
  t.equal(await urlOf('spring'), 'https://example.com/2');
});

for (const changes of [999, 1000, 1001]) {
  t.test(`after ${changes} changes no link is found as it was`, async (t) => {
    const { ours, others, urlOf } = await openTwo(t);
    await ours.links.apply([[create('spring'), create('autumn')]]);
    for (const key of ['spring', 'autumn']) await urlOf(key);
    const many = Array.from({ length: changes - 2 }, (_, index) => create(`k${index}`));
    const first = update('spring', 'https://example.com/2');
    const last = update('autumn', 'https://example.com/3');
    await others.links.apply([[first, ...many, last]]);
    await nextTurn();
    t.same(
      [await urlOf('spring'), await urlOf('autumn')],
      ['https://example.com/2', 'https://example.com/3'],
    );
  });
}

async function openBounded(
  t: Test,
  bounds: { linksMax?: number; lengthMax?: number },
  urls: readonly string[],
) {
  const { dataDir, ours } = await openTwo(t);
  const keys = urls.map((_, index) => `k${index}`);
  await ours.links.apply([keys.map((key, index) => create(key, urls[index]))]);
  const connection = new Database(join(dataDir, 'links.db'), { readonly: true });
  t.teardown(() => connection.close());
  const { lookup, figures } = createRedirectLookup(connection, bounds);
  return { keys, lookup, figures };
}

t.test('of more links than are remembered, the one that was not followed for the longest goes', async (t) => {
  const urls = ['https://example.com/0', 'https://example.com/1', 'https://example.com/2'];
  const { lookup, figures } = await openBounded(t, { linksMax: 2 }, urls);
  for (const key of ['k0', 'k1', 'k0', 'k2', 'k0', 'k1']) lookup(key);
  t.same(figures(), { remembered: 2, read: 4 });
});

t.test(
  'long targets are remembered up to their length together, and one that is longer is not',
  async (t) => {
    const urls = [60, 60, 200].map((length) => `https://example.com/${'x'.repeat(length)}`);
    const { keys, lookup, figures } = await openBounded(t, { lengthMax: 100 }, urls);
    for (const key of keys.flatMap((one) => [one, one])) t.ok(lookup(key));
    t.same(figures(), { remembered: 2, read: 4 });
    lookup('k0');
    t.equal(figures().read, 5, 'the second took its place');
  },
);

t.test('where nothing tells what changed, nothing is remembered', async (t) => {
  const { dataDir, ours, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  await urlOf('spring');
  await nextTurn();
  const db = new Database(join(dataDir, 'links.db'));
  t.teardown(() => db.close());
  db.exec("drop table events; update links set url = 'https://example.com/2'");
  t.equal(await urlOf('spring'), 'https://example.com/2');
});

t.test('a turn whose first look fails looks again', async (t) => {
  const { dataDir, ours, urlOf } = await openTwo(t);
  await ours.links.apply([[create('spring')]]);
  const db = new Database(join(dataDir, 'links.db'));
  t.teardown(() => db.close());
  db.exec('alter table links rename to gone');
  await t.rejects(urlOf('spring'), { message: 'no such table: links' });
  db.exec('alter table gone rename to links');
  t.equal(await urlOf('spring'), 'https://example.com/spring');
});

t.test('a target of any length is found', async (t) => {
  const { ours, urlOf } = await openTwo(t);
  const url = `https://example.com/?${'x'.repeat(2000)}`;
  await ours.links.apply([[create('long', url)]]);
  t.same([await urlOf('long'), await urlOf('long')], [url, url]);
});

interface Step {
  readonly store: Store;
  readonly key: string;
  readonly type: 'create' | 'update' | 'delete' | 'purge' | 'none';
  readonly looksFirst: boolean;
}

/** Each a month after the one before, so that a deleted key may be taken again. */
function commandOf({ key, type }: Step, number: number): LinkCommand | null {
  const url = `https://example.com/${number}`;
  const atMs = AT + number * 31 * 24 * 60 * 60 * 1000;
  if (type === 'none') return null;
  if (type === 'create') return { ...create(key, url), atMs };
  if (type === 'update') return { ...update(key, url), atMs };
  return { type, ref: { key }, ifVersion: null, by: 'me', atMs };
}

t.test('whatever two processes do, each finds what is stored', async (t) => {
  const { dataDir, ours, others } = await openTwo(t);
  const db = new Database(join(dataDir, 'links.db'), { readonly: true });
  t.teardown(() => db.close());
  const stored = db.prepare<[string], { id: number; url: string; status: string }>(
    "select id, url, status from links where domain = '' and key = ? and released = 0",
  );
  const keys = ['a1', 'b2', 'c3'];
  const findAll = (store: Store) =>
    keys.map((key) => {
      const found = store.links.lookup(key) as RedirectFacts | null;
      return found && { id: found.id, url: found.url, status: found.status };
    });
  let count = 0;

  async function take(step: Step): Promise<void> {
    if (step.looksFirst) findAll(ours);
    const command = commandOf(step, ++count);
    if (command !== null) await step.store.links.apply([[command]]);
    await nextTurn();
    const wanted = keys.map((key) => stored.get(key) ?? null);
    for (const store of [ours, others]) deepStrictEqual(findAll(store), wanted);
  }

  const step: fc.Arbitrary<Step> = fc.record({
    store: fc.constantFrom(ours, others),
    key: fc.constantFrom(...keys),
    type: fc.constantFrom('create', 'update', 'delete', 'purge', 'none'),
    looksFirst: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
      for (const each of steps) await take(each);
    }),
    propertyRuns(t, { runs: 20, proveRuns: 500 }),
  );
  t.ok(count >= 200, `${count} steps`);
});
