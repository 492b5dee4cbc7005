/**
 * The contract of LinkStore: every command with each of its outcomes, what a unit promises, and how the past is told. Every
 * backend must pass it; lists have a suite of their own (link-list.ts).
 */

import type { Test } from 'tap';
import { type Link, optionsOf, QUARANTINE_MS } from '../../app/links/link.ts';
import type { LinkEvent, LinkHistoryEntry, LinkStore, VersionCondition } from '../../app/links/link-store.ts';
import {
  applyForLink,
  applyOne,
  command,
  createAs,
  DAY_MS,
  EVERYTHING,
  getLink,
  listKeys,
  newLink,
  type OpenStore,
  optionsFor,
  T0,
} from './store.ts';

const LATER = T0 + 1000;
const KEY_TAKEN = { type: 'refused', reason: 'key_taken' };
const NOT_FOUND = { type: 'refused', reason: 'not_found' };
const GONE = { type: 'refused', reason: 'gone' };
const VERSION_MISMATCH = { type: 'refused', reason: 'version_mismatch' };
const VERSION_UNKNOWN = { type: 'refused', reason: 'version_unknown' };

export function testLinkStore(t: Test, name: string, openStore: OpenStore): Promise<unknown> {
  return t.test(`${name}: links`, async (t) => {
    await t.test('create', (t) => testCreate(t, openStore));
    await t.test('put', (t) => testPut(t, openStore));
    await t.test('update', (t) => testUpdate(t, openStore));
    await t.test('delete and quarantine', (t) => testDelete(t, openStore));
    await t.test('revert', (t) => testRevert(t, openStore));
    await t.test('purge', (t) => testPurge(t, openStore));
    await t.test('conditions on the version', (t) => testConditions(t, openStore));
    await t.test('units', (t) => testUnits(t, openStore));
    await t.test('history and events', (t) => testPast(t, openStore));
    await t.test('lookup', (t) => testLookup(t, openStore));
    await t.test('limits', (t) => testLimits(t, openStore));
    await t.test('numbers', (t) => testNumbers(t, openStore));
    await t.test('closing and opening again', (t) => testReopening(t, openStore));
  });
}

async function testCreate(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('gives a link with every option as it was given', async (t) => {
    const options = optionsFor('https://example.com/?q=%22', {
      title: 'Ünïcode "title" %_',
      tags: ['b', 'a', 'ß'],
      status: 'disabled',
      redirectStatus: 308,
      expiresAtMs: Date.UTC(2039, 5, 1),
      maxClicks: 1_000_000_000,
    });
    const outcome = await applyOne(links, { type: 'create', candidates: ['full'], options, by: 'anonymous' });
    const link = await getLink(links, { key: 'full' });
    t.same(outcome, { type: 'created', link });
    t.same(link, newLink(link, 'full', options, { by: 'anonymous' }));
    t.same(await links.findLink({ id: link.id }), link);
  });

  await t.test('takes the first candidate that is free', async (t) => {
    const options = optionsFor('https://example.com/');
    const make = () => applyForLink(links, { type: 'create', candidates: ['one', 'two', 'three'], options });
    t.same([(await make()).key, (await make()).key, (await make()).key], ['one', 'two', 'three']);
  });

  await t.test('is refused when every candidate is taken, and when there is none', async (t) => {
    const options = optionsFor('https://example.com/');
    t.same(await applyOne(links, { type: 'create', candidates: ['one', 'two'], options }), KEY_TAKEN);
    t.same(await applyOne(links, { type: 'create', candidates: [], options }), KEY_TAKEN);
  });

  await t.test('tells keys that differ in letter case apart', async (t) => {
    const upper = await applyForLink(links, createAs('CASE'));
    const lower = await applyForLink(links, createAs('case'));
    t.not(upper.id, lower.id);
    t.same(
      [(await getLink(links, { key: 'CASE' })).id, (await getLink(links, { key: 'case' })).id],
      [upper.id, lower.id],
    );
  });

  await t.test('with reuseEqual answers with a link that is equal in options and creator', async (t) => {
    const options = optionsFor('https://example.com/same', { tags: ['x', 'y'] });
    const create = { type: 'create', candidates: ['salt1', 'salt2'], options, reuseEqual: true } as const;
    const link = await applyForLink(links, create);
    t.same(await applyOne(links, { ...create, atMs: LATER }), { type: 'unchanged', link });
    t.same(await applyOne(links, { ...create, reuseEqual: false, candidates: ['salt1'] }), KEY_TAKEN);
    const others = [
      { ...create, by: 'anonymous' },
      { ...create, options: { ...options, tags: ['y', 'x'] } },
      { ...create, options: { ...options, title: 'other' } },
      { ...create, options: { ...options, url: 'https://example.com/other' } },
      { ...create, options: { ...options, redirectStatus: 301 as const } },
      { ...create, options: { ...options, expiresAtMs: T0 + DAY_MS } },
      { ...create, options: { ...options, maxClicks: 5 } },
      { ...create, options: { ...options, status: 'disabled' as const } },
      { ...create, options: { ...options, tags: ['x'] } },
    ];
    for (const other of others) {
      t.same(await applyOne(links, { ...other, candidates: ['salt1'] }), KEY_TAKEN);
    }
    const second = await applyForLink(links, { ...create, by: 'anonymous' });
    t.equal(second.key, 'salt2');
    t.same(await applyOne(links, { ...create, by: 'anonymous' }), { type: 'unchanged', link: second });
  });

  await t.test('with reuseEqual does not answer with a link that has a limit', async (t) => {
    const options = optionsFor('https://example.com/limited', { maxClicks: 1 });
    const create = { type: 'create', candidates: ['part1', 'part2'], options, reuseEqual: true } as const;
    t.same(
      [await applyForLink(links, create), await applyForLink(links, create)].map(({ key }) => key),
      ['part1', 'part2'],
    );
    t.same(await applyOne(links, create), KEY_TAKEN);
  });

  await t.test('an answer that changes nothing takes no number', async (t) => {
    const create = {
      type: 'create',
      candidates: ['kept'],
      options: optionsFor('https://example.com/kept'),
      reuseEqual: true,
    } as const;
    const link = await applyForLink(links, create);
    await applyOne(links, create);
    t.same(await applyOne(links, { ...create, reuseEqual: false }), KEY_TAKEN);
    t.equal((await applyForLink(links, createAs('next-after-kept'))).seq, link.seq + 1);
  });

  await t.test('with reuseEqual does not answer with a deleted link', async (t) => {
    const options = optionsFor('https://example.com/gone');
    const create = { type: 'create', candidates: ['gone1', 'gone2'], options, reuseEqual: true } as const;
    const first = await applyForLink(links, create);
    await applyOne(links, { type: 'delete', ref: { id: first.id } });
    t.equal((await applyForLink(links, create)).key, 'gone2');
  });
}

async function testPut(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const options = optionsFor('https://example.com/put', { tags: ['a'] });

  await t.test('creates what is not there', async (t) => {
    const outcome = await applyOne(links, { type: 'put', key: 'put', options });
    const link = await getLink(links, { key: 'put' });
    t.same(outcome, { type: 'created', link });
    t.same(link, newLink(link, 'put', options));
  });

  await t.test('leaves an equal link as it is', async (t) => {
    const link = await getLink(links, { key: 'put' });
    const outcome = await applyOne(links, { type: 'put', key: 'put', options, by: 'api-key:2', atMs: LATER });
    t.same(outcome, { type: 'unchanged', link });
    t.same(await getLink(links, { key: 'put' }), link);
  });

  await t.test('replaces every option of another one', async (t) => {
    const before = await getLink(links, { key: 'put' });
    const next = optionsFor('https://example.com/next', { title: 'next', redirectStatus: 307 });
    const outcome = await applyOne(links, {
      type: 'put',
      key: 'put',
      options: next,
      by: 'api-key:2',
      atMs: LATER,
    });
    const link = await getLink(links, { key: 'put' });
    t.same(outcome, { type: 'updated', link });
    t.same(link, { ...before, ...next, version: 2, seq: link.seq, updatedAtMs: LATER });
    t.ok(link.seq > before.seq);
  });

  await t.test('is refused on a deleted link until its key may be taken again', async (t) => {
    await applyOne(links, { type: 'delete', ref: { key: 'put' } });
    const put = (atMs: number) => applyOne(links, { type: 'put', key: 'put', options, atMs });
    t.same(await put(T0 + QUARANTINE_MS - 1), KEY_TAKEN);
    t.equal((await put(T0 + QUARANTINE_MS)).type, 'created');
  });
}

async function testUpdate(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('changes what it names and keeps the rest', async (t) => {
    const before = await applyForLink(links, createAs('up', { title: 'kept', tags: ['old', 'kept'] }));
    const outcome = await applyOne(links, {
      type: 'update',
      ref: { key: 'up' },
      changes: { tags: ['kept', 'new'], status: 'disabled' },
      atMs: LATER,
    });
    const link = await getLink(links, { id: before.id });
    t.same(outcome, { type: 'updated', link });
    t.same(link, {
      ...before,
      tags: ['kept', 'new'],
      status: 'disabled',
      version: 2,
      seq: link.seq,
      updatedAtMs: LATER,
    });
    t.same(await listKeys(links, { tag: 'new' }), ['up']);
    t.same(await listKeys(links, { tag: 'old' }), []);
  });

  await t.test('that changes nothing leaves the link as it is', async (t) => {
    const link = await getLink(links, { key: 'up' });
    for (const changes of [{}, { status: link.status }, { tags: [...link.tags], title: 'kept' }]) {
      const outcome = await applyOne(links, {
        type: 'update',
        ref: { id: link.id },
        changes,
        atMs: LATER + 1,
      });
      t.same(outcome, { type: 'unchanged', link });
    }
  });

  await t.test('can take an option away', async (t) => {
    const changes = { title: null, tags: [] };
    const link = await applyForLink(links, { type: 'update', ref: { key: 'up' }, changes });
    t.same([link.title, link.tags], [null, []]);
    t.same(await listKeys(links, { tag: 'kept' }), []);
  });

  await t.test('is refused where there is no link, and where it is deleted', async (t) => {
    const changes = { title: 'x' };
    t.same(await applyOne(links, { type: 'update', ref: { key: 'nobody' }, changes }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'update', ref: { id: 987_654 }, changes }), NOT_FOUND);
    const { id } = await applyForLink(links, { type: 'delete', ref: { key: 'up' } });
    t.same(await applyOne(links, { type: 'update', ref: { key: 'up' }, changes }), GONE);
    t.same(await applyOne(links, { type: 'update', ref: { id }, changes }), GONE);
  });
}

async function testDelete(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('leaves the link with its key, deleted', async (t) => {
    const before = await applyForLink(links, createAs('del', { tags: ['a'], title: 'kept' }));
    const outcome = await applyOne(links, { type: 'delete', ref: { key: 'del' }, atMs: LATER });
    const link = await getLink(links, { key: 'del' });
    t.same(outcome, { type: 'deleted', link });
    t.same(link, {
      ...before,
      status: 'deleted',
      version: 2,
      seq: link.seq,
      updatedAtMs: LATER,
      deletedAtMs: LATER,
    });
  });

  await t.test('is refused where there is no link, and the second time', async (t) => {
    t.same(await applyOne(links, { type: 'delete', ref: { key: 'nobody' } }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'delete', ref: { key: 'del' } }), GONE);
  });

  await t.test('reserves the key for 30 days; who takes it then releases the old link', async (t) => {
    const old = await getLink(links, { key: 'del' });
    const early = { ...createAs('del'), atMs: LATER + 30 * DAY_MS - 1 };
    t.same(await applyOne(links, early), KEY_TAKEN);
    t.equal((await getLink(links, { key: 'del' })).id, old.id);

    const heir = await applyForLink(links, { ...early, atMs: LATER + 30 * DAY_MS });
    t.not(heir.id, old.id);
    t.same(await getLink(links, { key: 'del' }), heir);
    t.same(await getLink(links, { id: old.id }), { ...old, released: true });
    t.same(await applyOne(links, { ...early, atMs: LATER + 90 * DAY_MS }), KEY_TAKEN);
  });

  await t.test('a released link cannot come back, but can be read and purged', async (t) => {
    const [id] = (await links.listLinks({ ...EVERYTHING, status: 'deleted' })).items.map((link) => link.id);
    const ref = { id: id ?? 0 };
    t.same(await applyOne(links, { type: 'revert', ref, version: 1 }), KEY_TAKEN);
    t.same(await applyOne(links, { type: 'update', ref, changes: { title: 'x' } }), GONE);
    t.same(await applyOne(links, { type: 'delete', ref }), GONE);
    t.same(
      (await links.listHistory(ref.id, { limit: 10, beforeVersion: null })).map(({ type }) => type),
      ['deleted', 'created'],
    );
    const heir = await getLink(links, { key: 'del' });
    t.same(await applyOne(links, { type: 'purge', ref }), { type: 'purged' });
    t.same(await getLink(links, { key: 'del' }), heir);
  });

  await t.test('a key can pass on any number of times', async (t) => {
    const ids = new Set<number>();
    for (let round = 0; round < 4; round++) {
      const atMs = T0 + round * QUARANTINE_MS;
      ids.add((await applyForLink(links, { ...createAs('passed'), atMs })).id);
      await applyOne(links, { type: 'delete', ref: { key: 'passed' }, atMs });
    }
    t.equal(ids.size, 4);
    const all = await links.listLinks({ ...EVERYTHING, sort: 'key', q: 'passed' });
    t.same(
      all.items.map(({ id, released }) => [id, released]),
      [...ids].map((id, n) => [id, n < 3]),
    );
    const newestFirst = await links.listLinks({ ...EVERYTHING, sort: '-key', q: 'passed' });
    t.same(newestFirst.items, all.items.toReversed());
  });

  await t.test('a link that was brought back is not quarantined', async (t) => {
    await applyOne(links, createAs('back'));
    await applyOne(links, { type: 'delete', ref: { key: 'back' } });
    await applyOne(links, { type: 'revert', ref: { key: 'back' }, version: 1 });
    t.same(await applyOne(links, { ...createAs('back'), atMs: T0 + 99 * DAY_MS }), KEY_TAKEN);
  });
}

async function testRevert(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const made = await applyForLink(links, createAs('rev', { tags: ['first'], title: 'First' }));
  const ref = { id: made.id };
  await applyOne(links, {
    type: 'update',
    ref,
    changes: { url: 'https://example.com/2', tags: ['second'], title: 'Second', expiresAtMs: T0 + DAY_MS },
  });

  await t.test('gives the options of an earlier version as a new version', async (t) => {
    const outcome = await applyOne(links, { type: 'revert', ref, version: 1, atMs: LATER });
    const link = await getLink(links, ref);
    t.same(outcome, { type: 'reverted', link });
    t.same(link, { ...made, version: 3, seq: link.seq, updatedAtMs: LATER });
    t.same(
      [await listKeys(links, { tag: 'first' }), await listKeys(links, { tag: 'second' })],
      [['rev'], []],
    );
    t.same([await listKeys(links, { q: 'First' }), await listKeys(links, { q: 'Second' })], [['rev'], []]);
  });

  await t.test('to what the link is already leaves it as it is', async (t) => {
    const link = await getLink(links, ref);
    t.same(await applyOne(links, { type: 'revert', ref, version: 3 }), { type: 'unchanged', link });
    t.same(await applyOne(links, { type: 'revert', ref, version: 1 }), { type: 'unchanged', link });
  });

  await t.test(
    'is refused for a version that the link never had, and for a link that is not there',
    async (t) => {
      for (const version of [0, 4, 1_000_000, 5_000_000_000, Number.MAX_SAFE_INTEGER]) {
        t.same(await applyOne(links, { type: 'revert', ref, version }), VERSION_UNKNOWN);
      }
      t.same(await applyOne(links, { type: 'revert', ref: { key: 'nobody' }, version: 1 }), NOT_FOUND);
    },
  );

  await t.test('brings a deleted link back', async (t) => {
    await applyOne(links, { type: 'delete', ref });
    const link = await applyForLink(links, { type: 'revert', ref: { key: 'rev' }, version: 2 });
    t.same(
      [link.status, link.deletedAtMs, link.title, link.expiresAtMs, link.version],
      ['enabled', null, 'Second', T0 + DAY_MS, 5],
    );
  });

  await t.test('to a version at which it was deleted deletes it anew', async (t) => {
    const link = await applyForLink(links, { type: 'revert', ref, version: 4, atMs: LATER + 5 });
    t.same([link.status, link.deletedAtMs, link.version], ['deleted', LATER + 5, 6]);
  });
}

async function testPurge(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('removes the link, its history, its tags and its search text', async (t) => {
    const { id, version } = await applyForLink(links, createAs('pur', { title: 'Needle', tags: ['hay'] }));
    await applyOne(links, { type: 'update', ref: { id }, changes: { title: 'Needles' } });
    const ref = { key: 'pur' };
    t.same(await applyOne(links, { type: 'purge', ref, by: 'api-key:9', atMs: LATER }), { type: 'purged' });
    t.same([await links.findLink({ id }), await links.findLink({ key: 'pur' })], [null, null]);
    t.equal(await links.lookup('pur'), null);
    t.same(await links.listHistory(id, { limit: 10, beforeVersion: null }), []);
    t.same([await listKeys(links, { q: 'needle' }), await listKeys(links, { tag: 'hay' })], [[], []]);
    const events = await links.listEvents({ limit: 10, after: 0 });
    t.same(events, [
      {
        seq: events[0]?.seq,
        type: 'purged',
        linkId: id,
        domain: '',
        key: 'pur',
        version: version + 2,
        by: 'api-key:9',
        atMs: LATER,
        options: null,
      },
    ]);
  });

  await t.test('frees the key at once, and never gives the id out again', async (t) => {
    const [purged] = await links.listEvents({ limit: 1, after: 0 });
    const link = await applyForLink(links, createAs('pur'));
    t.ok(link.id > (purged?.linkId ?? 0));
    t.equal(link.version, 1);
  });

  await t.test('removes a deleted link too, and is refused where there is none', async (t) => {
    await applyOne(links, { type: 'delete', ref: { key: 'pur' } });
    t.same(await applyOne(links, { type: 'purge', ref: { key: 'pur' } }), { type: 'purged' });
    t.same(await applyOne(links, { type: 'purge', ref: { key: 'pur' } }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'purge', ref: { id: 987_654 } }), NOT_FOUND);
  });
}

async function testConditions(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const { id } = await applyForLink(links, createAs('cond'));
  await applyOne(links, { type: 'update', ref: { id }, changes: { title: 'second' } });

  const commandsUnder = (ifVersion: VersionCondition) => [
    { type: 'put', key: 'cond', options: optionsFor('https://example.com/new'), ifVersion } as const,
    { type: 'update', ref: { id }, changes: { title: 'new' }, ifVersion } as const,
    { type: 'revert', ref: { id }, version: 1, ifVersion } as const,
    { type: 'delete', ref: { id }, ifVersion } as const,
    { type: 'purge', ref: { id }, ifVersion } as const,
  ];

  await t.test('another version, or none at all, refuses every command', async (t) => {
    for (const condition of [[1], [3], [1, 3, 99], []]) {
      for (const given of commandsUnder(condition)) {
        t.same(await applyOne(links, given), VERSION_MISMATCH, `${given.type} under [${condition}]`);
      }
    }
    t.equal((await getLink(links, { id })).version, 2);
  });

  await t.test('what could not be done without a condition is refused for what it is', async (t) => {
    const gone = await applyForLink(links, createAs('cond-gone'));
    await applyOne(links, { type: 'delete', ref: { id: gone.id } });
    const ref = { id: gone.id };
    t.same(await applyOne(links, { type: 'delete', ref, ifVersion: [1] }), GONE);
    t.same(await applyOne(links, { type: 'update', ref, changes: {}, ifVersion: [] }), GONE);
    t.same(await applyOne(links, { type: 'revert', ref, version: 9, ifVersion: [1] }), VERSION_UNKNOWN);
    t.same(await applyOne(links, { type: 'revert', ref, version: 1, ifVersion: [1] }), VERSION_MISMATCH);
    const put = { type: 'put', key: 'cond-gone', options: optionsFor('https://example.com/') } as const;
    t.same(await applyOne(links, { ...put, ifVersion: [1] }), KEY_TAKEN);
    t.same(await applyOne(links, { type: 'delete', ref, ifVersion: [2] }), GONE);
  });

  for (const condition of [[2], [7, 2], 'existing', null] as const) {
    await t.test(`${JSON.stringify(condition)} lets every command pass`, async (t) => {
      const types = [];
      for (const given of commandsUnder(condition)) {
        // Each in a unit that is refused at its end, so that the link stays at version 2.
        const veto = command({ type: 'purge', ref: { key: 'nobody' } });
        const [result] = await links.apply([[command(given), veto]]);
        types.push(result?.outcomes[0]?.type);
      }
      t.same(types, ['updated', 'updated', 'reverted', 'deleted', 'purged']);
    });
  }

  await t.test('a put that must find a link does not create one', async (t) => {
    const put = { type: 'put', key: 'fresh', options: optionsFor('https://example.com/fresh') } as const;
    for (const ifVersion of ['existing', [1], []] as const) {
      t.same(await applyOne(links, { ...put, ifVersion }), VERSION_MISMATCH);
    }
    t.equal(await links.findLink({ key: 'fresh' }), null);
    await applyOne(links, { type: 'delete', ref: { key: 'cond' } });
    const late = { type: 'put', key: 'cond', options: put.options, atMs: T0 + QUARANTINE_MS } as const;
    t.same(await applyOne(links, { ...late, ifVersion: 'existing' }), VERSION_MISMATCH);
    t.equal((await applyOne(links, late)).type, 'created');
  });

  await t.test('where there is no link, every other command is refused with not_found', async (t) => {
    const ref = { key: 'nobody' };
    t.same(await applyOne(links, { type: 'update', ref, changes: {}, ifVersion: [1] }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'delete', ref, ifVersion: 'existing' }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'revert', ref, version: 1, ifVersion: [1] }), NOT_FOUND);
    t.same(await applyOne(links, { type: 'purge', ref, ifVersion: [] }), NOT_FOUND);
  });
}

async function testUnits(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('commands of a unit see the ones before them', async (t) => {
    const ref = { key: 'chain' };
    const [result] = await links.apply([
      [
        createAs('chain'),
        command({ type: 'update', ref, changes: { title: 'second' } }),
        command({ type: 'delete', ref, ifVersion: [2] }),
        command({ type: 'revert', ref, version: 1 }),
        command({ type: 'put', key: 'chain', options: optionsFor('https://example.com/chain') }),
      ],
    ]);
    t.equal(result?.committed, true);
    t.same(result?.outcomes.map(summarize), [
      'created 1',
      'updated 2',
      'deleted 3',
      'reverted 4',
      'unchanged 4',
    ]);
  });

  await t.test('of two equal keys in a unit the first wins, and nothing of the unit is stored', async (t) => {
    const [result] = await links.apply([[createAs('twin'), createAs('single'), createAs('twin')]]);
    t.equal(result?.committed, false);
    t.same(result?.outcomes.map(summarize), ['created 1', 'created 1', 'refused key_taken']);
    t.same([await links.findLink({ key: 'twin' }), await links.findLink({ key: 'single' })], [null, null]);
  });

  await t.test('a unit with refusals reports every outcome and leaves no trace', async (t) => {
    const before = await getLink(links, { key: 'chain' });
    const events = await links.listEvents({ limit: 100, after: 0 });
    const ref = { key: 'chain' };
    const [result] = await links.apply([
      [
        command({ type: 'update', ref, changes: { title: 'never seen', tags: ['never'] } }),
        command({ type: 'delete', ref: { key: 'nobody' } }),
        createAs('never'),
        command({ type: 'update', ref, changes: {}, ifVersion: [] }),
        command({ type: 'purge', ref }),
      ],
    ]);
    t.equal(result?.committed, false);
    t.same(result?.outcomes.map(summarize), [
      'updated 5',
      'refused not_found',
      'created 1',
      'refused version_mismatch',
      'purged',
    ]);
    t.same(await getLink(links, ref), before);
    t.same(await links.listEvents({ limit: 100, after: 0 }), events);
    t.same([await listKeys(links, { q: 'never' }), await listKeys(links, { tag: 'never' })], [[], []]);
    t.equal(await links.findLink({ key: 'never' }), null);
  });

  await t.test('units around a refused one are stored, in their order', async (t) => {
    const results = await links.apply([
      [createAs('unit-a')],
      [createAs('unit-b'), createAs('unit-a')],
      [createAs('unit-b'), createAs('unit-c')],
      [],
    ]);
    t.same(
      results.map(({ committed }) => committed),
      [true, false, true, true],
    );
    t.same(
      results.map(({ outcomes }) => outcomes.map(summarize)),
      [['created 1'], ['created 1', 'refused key_taken'], ['created 1', 'created 1'], []],
    );
    t.same(await listKeys(links, { q: 'unit-' }), ['unit-a', 'unit-b', 'unit-c']);
    const seqs = await Promise.all(
      ['unit-a', 'unit-b', 'unit-c'].map(async (key) => (await getLink(links, { key })).seq),
    );
    t.same(
      seqs,
      seqs.toSorted((a, b) => a - b),
    );
  });

  await t.test('no units, no results', async (t) => {
    t.same(await links.apply([]), []);
  });

  await t.test('of 50 calls at once for one key exactly one wins', async (t) => {
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, n) => applyOne(links, { ...createAs('race'), by: `api-key:${n}` })),
    );
    const winners = outcomes.filter(({ type }) => type === 'created');
    t.equal(winners.length, 1);
    t.same(
      outcomes.filter((outcome) => outcome !== winners[0]),
      Array(49).fill(KEY_TAKEN),
    );
    t.same(winners, [{ type: 'created', link: await getLink(links, { key: 'race' }) }]);
  });

  await t.test('of 20 changes at once under one If-Match exactly one passes', async (t) => {
    const ref = { key: 'race' };
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        applyOne(links, { type: 'update', ref, changes: { title: `by ${n}` }, ifVersion: [1] }),
      ),
    );
    t.equal(outcomes.filter(({ type }) => type === 'updated').length, 1);
    t.equal(outcomes.filter(({ type }) => type === 'refused').length, 19);
    t.equal((await getLink(links, ref)).version, 2);
  });

  await t.test('calls at once through two openings of the same data are all stored, once', async (t) => {
    const first = await openStore(t);
    const second = await first.openAgain();
    const calls = Array.from({ length: 60 }, (_, n) =>
      applyOne((n % 2 === 0 ? first : second).links, createAs(`two-${n % 40}`)),
    );
    const outcomes = await Promise.all(calls);
    t.equal(outcomes.filter(({ type }) => type === 'created').length, 40);
    t.equal(outcomes.filter(({ type }) => type === 'refused').length, 20);
    const all = await listKeys(first.links);
    t.equal(new Set(all).size, 40);
    t.same(await listKeys(second.links), all);
    const events = await second.links.listEvents({ limit: 100, after: 0 });
    t.equal(new Set(events.map(({ seq }) => seq)).size, 40);
  });

  await t.test(
    'seq grows strictly in the order of the commits, also for who follows meanwhile',
    async (t) => {
      const seen: number[] = [];
      let isDone = false;
      const follow = async () => {
        for (let wasDone = false; !wasDone; ) {
          wasDone = isDone;
          const events = await links.listEvents({ limit: 7, after: seen.at(-1) ?? 0 });
          seen.push(...events.map(({ seq }) => seq));
          if (events.length > 0) wasDone = false;
          await nextTurn();
        }
      };
      const write = async () => {
        for (let round = 0; round < 10; round++) {
          await Promise.all(
            Array.from({ length: 6 }, (_, n) =>
              links.apply([[createAs(`f-${round}-${n}`)], [createAs('race'), createAs(`g-${round}-${n}`)]]),
            ),
          );
        }
        isDone = true;
      };
      await Promise.all([follow(), write()]);
      const all = (await links.listEvents({ limit: 1000, after: 0 })).map(({ seq }) => seq);
      t.same(seen, all);
      t.same(
        all,
        [...new Set(all)].toSorted((a, b) => a - b),
      );
    },
  );
}

async function testPast(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const made = await applyForLink(links, createAs('past', { by: 'anonymous' }));
  const ref = { id: made.id };
  const changed = await applyForLink(links, {
    type: 'update',
    ref,
    changes: { title: 'Second', tags: ['t'] },
    by: 'api-key:2',
    atMs: T0 + 1,
  });
  await applyOne(links, { type: 'update', ref, changes: { title: 'Second' }, atMs: T0 + 2 });
  await applyOne(links, { type: 'update', ref, changes: {}, ifVersion: [], atMs: T0 + 2 });
  const deleted = await applyForLink(links, { type: 'delete', ref, by: 'api-key:3', atMs: T0 + 3 });
  const reverted = await applyForLink(links, {
    type: 'revert',
    ref,
    version: 2,
    by: 'api-key:4',
    atMs: T0 + 4,
  });

  const eventOf = (link: Link, type: LinkEvent['type'], by: string): LinkEvent => ({
    seq: link.seq,
    type,
    linkId: link.id,
    domain: '',
    key: link.key,
    version: link.version,
    by,
    atMs: link.updatedAtMs,
    options: optionsOf(link),
  });
  const events = [
    eventOf(made, 'created', 'anonymous'),
    eventOf(changed, 'updated', 'api-key:2'),
    eventOf(deleted, 'deleted', 'api-key:3'),
    eventOf(reverted, 'reverted', 'api-key:4'),
  ];
  const history = events
    .map((event, index) => ({ ...event, before: events[index - 1]?.options ?? null }) as LinkHistoryEntry)
    .reverse();

  await t.test('history may be asked for from any version on', async (t) => {
    for (const beforeVersion of [null, 5, 5_000_000_000, Number.MAX_SAFE_INTEGER]) {
      t.same(await links.listHistory(made.id, { limit: 10, beforeVersion }), history);
    }
  });

  await t.test('each change, and nothing else, is an event', async (t) => {
    t.same(await links.listEvents({ limit: 100, after: 0 }), events);
    t.same(await links.listEvents({ limit: 100, before: null }), events.toReversed());
  });

  await t.test('history tells what each change made of what', async (t) => {
    t.same(await links.listHistory(made.id, { limit: 100, beforeVersion: null }), history);
    t.same(
      history.map(({ before, options }) => [before?.title, before?.status, options.title, options.status]),
      [
        ['Second', 'deleted', 'Second', 'enabled'],
        ['Second', 'enabled', 'Second', 'deleted'],
        [null, 'enabled', 'Second', 'enabled'],
        [undefined, undefined, null, 'enabled'],
      ],
    );
  });

  await t.test('history goes on from a version', async (t) => {
    t.same(await links.listHistory(made.id, { limit: 3, beforeVersion: null }), history.slice(0, 3));
    t.same(await links.listHistory(made.id, { limit: 3, beforeVersion: 2 }), history.slice(3));
    t.same(await links.listHistory(made.id, { limit: 3, beforeVersion: 1 }), []);
    t.same(await links.listHistory(987_654, { limit: 3, beforeVersion: null }), []);
  });

  await t.test('events go on from a seq in both directions', async (t) => {
    const [first, second, third, fourth] = events;
    t.same(await links.listEvents({ limit: 2, after: 0 }), [first, second]);
    t.same(await links.listEvents({ limit: 2, after: second?.seq ?? 0 }), [third, fourth]);
    t.same(await links.listEvents({ limit: 2, after: fourth?.seq ?? 0 }), []);
    t.same(await links.listEvents({ limit: 3, before: null }), [fourth, third, second]);
    t.same(await links.listEvents({ limit: 3, before: second?.seq ?? 0 }), [first]);
    t.same(await links.listEvents({ limit: 3, before: first?.seq ?? 0 }), []);
  });

  await t.test('events of other links do not show in a history', async (t) => {
    await applyOne(links, createAs('past-other'));
    t.same(await links.listHistory(made.id, { limit: 100, beforeVersion: null }), history);
  });
}

async function testLookup(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);

  await t.test('tells the redirect what findLink tells', async (t) => {
    const options = { redirectStatus: 301, expiresAtMs: T0 + 1, maxClicks: 5, status: 'disabled' } as const;
    const link = await applyForLink(links, createAs('look', options));
    t.same(await links.lookup('look'), {
      id: link.id,
      url: 'https://example.com/look',
      status: 'disabled',
      redirectStatus: 301,
      expiresAtMs: T0 + 1,
      maxClicks: 5,
      maxClicksSeq: link.seq,
    });
    await applyOne(links, createAs('LOOK'));
    await sameFacts(t, links, ['look', 'LOOK', 'nobody', '', 'look ', 'lo%k', 'looK', "l'k"]);
  });

  await t.test('follows every change', async (t) => {
    const ref = { key: 'look' };
    await applyOne(links, {
      type: 'update',
      ref,
      changes: { url: 'https://example.com/2', expiresAtMs: null },
    });
    await sameFacts(t, links, ['look']);
    await applyOne(links, { type: 'delete', ref });
    t.equal((await links.lookup('look'))?.status, 'deleted');
    const heir = await applyForLink(links, { ...createAs('look'), atMs: T0 + QUARANTINE_MS });
    t.equal((await links.lookup('look'))?.id, heir.id);
    await sameFacts(t, links, ['look']);
  });

  await t.test(
    'sees an acknowledged change, also when it was asked while the change was committed',
    async (t) => {
      const ref = { key: 'look' };
      for (const title of ['one', 'two', 'three']) {
        const url = `https://example.com/${title}`;
        await nextTurn();
        const asked: unknown[] = title === 'one' ? [] : [links.lookup('look')];
        const change = applyForLink(links, { type: 'update', ref, changes: { url, title } });
        asked.push(links.lookup('look'), links.findLink(ref));
        const link = await change;
        t.same(await links.findLink(ref), link);
        t.equal((await links.lookup('look'))?.url, url);
        t.same(
          (await links.listHistory(link.id, { limit: 1, beforeVersion: null })).map(({ seq }) => seq),
          [link.seq],
        );
        await Promise.all(asked);
      }
    },
  );

  await t.test('sees what another opening of the same data wrote', async (t) => {
    const first = await openStore(t);
    const second = await first.openAgain();
    t.equal(await second.links.lookup('shared'), null);
    await applyOne(first.links, createAs('shared'));
    await sameFacts(t, second.links, ['shared']);
    await applyOne(first.links, { type: 'delete', ref: { key: 'shared' } });
    t.equal((await second.links.lookup('shared'))?.status, 'deleted');
  });
}

async function sameFacts(t: Test, links: LinkStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    const link = await links.findLink({ key });
    const facts = link && {
      id: link.id,
      url: link.url,
      status: link.status,
      redirectStatus: link.redirectStatus,
      expiresAtMs: link.expiresAtMs,
      maxClicks: link.maxClicks,
      maxClicksSeq: link.maxClicksSeq,
    };
    t.same(await links.lookup(key), facts, `lookup of ${JSON.stringify(key)}`);
  }
}

async function testLimits(t: Test, openStore: OpenStore): Promise<void> {
  const { links } = await openStore(t);
  const ref = { key: 'limited' };

  await t.test('are numbered by the change that set them', async (t) => {
    const made = await applyForLink(links, createAs('limited', { maxClicks: 5 }));
    t.equal(made.maxClicksSeq, made.seq);
    const titled = await applyForLink(links, { type: 'update', ref, changes: { title: 'x' } });
    t.same([titled.maxClicks, titled.maxClicksSeq], [5, made.seq]);
    const raised = await applyForLink(links, { type: 'update', ref, changes: { maxClicks: 6 } });
    t.same([raised.maxClicks, raised.maxClicksSeq], [6, raised.seq]);
    const reverted = await applyForLink(links, { type: 'revert', ref, version: 2 });
    t.same([reverted.maxClicks, reverted.maxClicksSeq], [5, reverted.seq]);
    await applyOne(links, { type: 'delete', ref });
    const restored = await applyForLink(links, { type: 'revert', ref, version: 4 });
    t.same([restored.maxClicks, restored.maxClicksSeq], [5, reverted.seq]);
    await sameFacts(t, links, ['limited']);
  });

  await t.test('are set anew by an update that names them, and by nothing else', async (t) => {
    const link = await getLink(links, ref);
    const put = { type: 'put', key: 'limited', options: optionsOf(link) } as const;
    t.same(await applyOne(links, put), { type: 'unchanged', link });
    const named = await applyOne(links, { type: 'update', ref, changes: { maxClicks: 5 } });
    const { version, seq } = await getLink(links, ref);
    t.same(named, {
      type: 'updated',
      link: { ...link, version: link.version + 1, seq, maxClicksSeq: seq },
    });
    t.equal(version, link.version + 1);
    t.ok(seq > link.seq);
    await applyOne(links, { type: 'update', ref, changes: { maxClicks: null } });
    const none = await getLink(links, ref);
    t.same(await applyOne(links, { type: 'update', ref, changes: { maxClicks: null } }), {
      type: 'unchanged',
      link: none,
    });
  });
}

async function testNumbers(t: Test, openStore: OpenStore): Promise<void> {
  await t.test('begin at 1 and go on without a gap', async (t) => {
    const { links } = await openStore(t);
    t.same(
      [await links.takeNumbers(1), await links.takeNumbers(100), await links.takeNumbers(1)],
      [1, 2, 102],
    );
  });

  await t.test('are given out once, also to calls at once from two openings and after closing', async (t) => {
    const first = await openStore(t);
    const second = await first.openAgain();
    const taken: number[] = [];
    const take = async (links: LinkStore, count: number) => {
      const from = await links.takeNumbers(count);
      for (let offset = 0; offset < count; offset++) taken.push(from + offset);
    };
    await Promise.all(
      Array.from({ length: 40 }, (_, n) => take((n % 2 === 0 ? first : second).links, 1 + (n % 7))),
    );
    await first.close();
    await second.close();
    const third = await first.openAgain();
    await take(third.links, 5);
    await applyOne(third.links, createAs('numbers-of-links-do-not-count'));
    await take(third.links, 5);
    t.equal(new Set(taken).size, taken.length);
    t.same(
      taken.slice(-5),
      Array.from({ length: 5 }, (_, n) => taken.length - 4 + n),
    );
  });
}

async function testReopening(t: Test, openStore: OpenStore): Promise<void> {
  await t.test('everything that was acknowledged is there after closing and opening', async (t) => {
    const store = await openStore(t);
    const link = await applyForLink(store.links, createAs('kept', { title: 'Kept', tags: ['k'] }));
    await store.close();
    const again = await store.openAgain();
    t.same(await again.links.findLink({ key: 'kept' }), link);
    t.same(await listKeys(again.links, { q: 'KEPT', tag: 'k' }), ['kept']);
    const next = await applyForLink(again.links, createAs('next'));
    t.ok(next.seq > link.seq);
    t.ok(next.id > link.id);
  });

  await t.test('closing waits for what was asked before it, and refuses what comes after', async (t) => {
    const store = await openStore(t);
    const calls = Array.from({ length: 30 }, (_, n) => applyOne(store.links, createAs(`late-${n}`)));
    const closing = store.close();
    const refused = store.links.apply([[createAs('too-late')]]);
    await t.rejects(refused, { name: 'AppError', code: 'unavailable' });
    t.same(
      (await Promise.all(calls)).map(({ type }) => type),
      Array(30).fill('created'),
    );
    await closing;
    const again = await store.openAgain();
    t.equal((await listKeys(again.links, { q: 'late' })).length, 30);
  });
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function summarize(outcome: { type: string; link?: Link; reason?: string }): string {
  const detail = outcome.link?.version ?? outcome.reason;
  return detail === undefined ? outcome.type : `${outcome.type} ${detail}`;
}
