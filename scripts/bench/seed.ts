// Fills a data folder with links, through the same store that the service writes with.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { systemClock } from '../../app/kernel/clock.ts';
import type { LinkCommand } from '../../app/links/link-store.ts';
import { openSqliteStore } from '../../app/store/sqlite/open-store.ts';
import type { Store } from '../../app/store/store.ts';

const UNIT = 1000;

/** `k000000`, `k000001` … */
export function keyOf(number: number): string {
  return `k${String(number).padStart(6, '0')}`;
}

export async function seedLinks(
  dataDir: string,
  count: number,
  onProgress?: (done: number) => void,
): Promise<void> {
  const store = await openStore(dataDir);
  for (let first = 0; first < count; first += UNIT) {
    const size = Math.min(UNIT, count - first);
    await store.links.apply([Array.from({ length: size }, (_, index) => createCommand(first + index))]);
    onProgress?.(first + size);
  }
  await store.close();
}

/** Links a second that the store alone makes for so many who wait for each of theirs. */
export async function measureCreations(
  dataDir: string,
  { clients, seconds }: { readonly clients: number; readonly seconds: number },
): Promise<number> {
  const store = await openStore(dataDir);
  const startedAt = performance.now();
  let made = 0;
  const isOver = (): boolean => performance.now() - startedAt > seconds * 1000;
  const createUntilOver = async (): Promise<void> => {
    for (; !isOver(); made++) {
      const number = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
      await store.links.apply([[createCommand(number)]]);
    }
  };
  await Promise.all(Array.from({ length: clients }, createUntilOver));
  const rate = (made / (performance.now() - startedAt)) * 1000;
  await store.close();
  return rate;
}

function openStore(dataDir: string): Promise<Store> {
  return openSqliteStore({
    dataDir,
    migrate: 'auto',
    clock: systemClock,
    random: Math.random,
    randomBytes,
    clickDurability: 'process',
    onClicksSetAside: (path) => {
      throw new Error(`A damaged file was found and moved to ${path}.`);
    },
    onClicksMissing: () => undefined,
    onLinksOlder: () => undefined,
  });
}

const ROWS = 100_000;

/**
 * More links than the store makes in reasonable time: one through the store, and the others as copies of its row, without
 * history and search texts, which no redirect reads.
 */
export async function seedManyLinks(dataDir: string, count: number): Promise<void> {
  await seedLinks(dataDir, 1);
  const db = new Database(join(dataDir, 'links.db'));
  try {
    const columns = db.prepare<[], string>("select name from pragma_table_info('links')").pluck().all();
    const values = columns.map((name) => VALUES[name] ?? `first."${name}"`);
    const copy = db.prepare(`
      with recursive numbers (n) as (select ? union all select n + 1 from numbers where n < ?)
      insert into links (${columns.map((name) => `"${name}"`).join(', ')})
      select ${values.join(', ')} from numbers, (select * from links where id = 1) as first`);
    for (let from = 1; from < count; from += ROWS) copy.run(from, Math.min(from + ROWS, count) - 1);
    db.prepare("update sequences set value = ? where name = 'event'").run(count);
  } finally {
    db.close();
  }
}

const VALUES: Readonly<Record<string, string>> = {
  id: 'n + 1',
  seq: 'n + 1',
  key: "printf('k%06d', n)",
  url: "printf('https://example.com/articles/%d/a-path-of-usual-length?utm_source=%d', n, n % 100)",
};

function createCommand(number: number): LinkCommand {
  return {
    type: 'create',
    candidates: [keyOf(number)],
    options: {
      url: `https://example.com/articles/${number}/a-path-of-usual-length?utm_source=${number % 100}`,
      title: `Article ${number}`,
      tags: number % 10 === 0 ? [`tag${number % 50}`] : [],
      status: 'enabled',
      redirectStatus: 302,
      expiresAtMs: null,
      maxClicks: null,
    },
    reuseEqual: false,
    by: 'api-key:1',
    atMs: systemClock.nowMs(),
  };
}
