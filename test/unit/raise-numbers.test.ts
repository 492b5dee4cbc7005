// A links.db from a backup beside a clicks.db that went on: nothing of the one is taken for something of the other.
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LinkCommand } from '../../app/links/link-store.ts';
import type { Store } from '../../app/store/store.ts';
import { clickOn } from '../support/click-tables.ts';
import { openStore } from '../support/store.ts';

const AT = Date.UTC(2026, 0, 31, 12);
const WHO = { by: 'api-key:1', atMs: AT };
const OPTIONS = { title: null, tags: [], status: 'enabled', redirectStatus: 302, expiresAtMs: null } as const;

function create(key: string, maxClicks: number | null = null): LinkCommand {
  const options = { ...OPTIONS, url: 'https://example.com/', maxClicks };
  return { type: 'create', candidates: [key], options, reuseEqual: false, ...WHO };
}

async function make({ links }: Store, ...commands: LinkCommand[]): Promise<{ id: number; seq: number }> {
  const [result] = await links.apply([commands]);
  const outcome = result?.outcomes.at(-1);
  if (outcome?.type !== 'created') throw new Error(`Not created: ${outcome?.type}`);
  return outcome.link;
}

interface Hosts {
  readonly dataDir: string;
  readonly told: string[];
  readonly open: () => Promise<Store>;
}

function prepare(t: Test): Hosts {
  const dataDir = t.testdir();
  const told: string[] = [];
  const open = () => openStore({ dataDir, onLinksOlder: () => told.push('older') });
  return { dataDir, told, open };
}

/** Puts links.db back as it was before `work`. */
async function forget({ dataDir, open }: Hosts, work: (store: Store) => Promise<void>): Promise<void> {
  const path = join(dataDir, 'links.db');
  const backup = `${path}.backup`;
  copyFileSync(path, backup);
  const store = await open();
  await work(store);
  await store.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  copyFileSync(backup, path);
}

const KINDS: Readonly<Record<string, (store: Store, linkId: number, seq: number) => Promise<void>>> = {
  'a click that is counted': async ({ clicks, tiers }, linkId) => {
    clicks.journal.append([{ click: clickOn(linkId, AT), quota: null }]);
    await tiers.fold(10);
  },
  'a click that is not counted yet': async ({ clicks }, linkId) => {
    clicks.journal.append([{ click: clickOn(linkId, AT), quota: null }]);
  },
  'a limit that is used up': async ({ clicks }, linkId, setBySeq) => {
    const quota = { linkId, clicksMax: 1, setBySeq, isOnlyAsked: false };
    clicks.journal.append([{ click: null, quota }]);
  },
};

for (const [kind, leave] of Object.entries(KINDS)) {
  t.test(`the id of a link that is gone with ${kind} is not given out again`, async (t) => {
    const hosts = prepare(t);
    const first = await hosts.open();
    await make(first, create('before'));
    await first.close();
    let lost = { id: 0, seq: 0 };
    await forget(hosts, async (store) => {
      lost = await make(store, create('lost', 1));
      await leave(store, lost.id, lost.seq);
    });
    t.same(hosts.told, []);
    const restored = await hosts.open();
    t.same(hosts.told, ['older']);
    t.equal(restored.links.lookup('lost'), null);
    const { id } = await make(restored, create('new', 1));
    t.ok(id > lost.id, `${id} after ${lost.id}`);
    await restored.close();
    await (await hosts.open()).close();
    t.same(hosts.told, ['older'], 'told once');
  });
}

t.test('changes go on behind those up to which purges are done', async (t) => {
  const hosts = prepare(t);
  await (await hosts.open()).close();
  await forget(hosts, async ({ links, tiers }) => {
    for (let time = 0; time < 5; time++) await links.apply([[create(`k${time}`)]]);
    await tiers.writePurgedTo(5, await tiers.readPurgedTo());
  });
  const restored = await hosts.open();
  t.teardown(restored.close);
  t.same(hosts.told, ['older']);
  t.equal((await make(restored, create('new'))).seq, 6);
});

t.test('a clicks.db that cannot be read says nothing', async (t) => {
  const { told, open } = prepare(t);
  const dataDir = t.testdir({ 'clicks.db': {} });
  const store = await openStore({ dataDir, onLinksOlder: () => told.push('older') });
  t.equal((await make(store, create('new'))).id, 1);
  await store.close();
  await (await open()).close();
  t.same(told, []);
});
