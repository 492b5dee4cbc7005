// Fills a data folder with links, through the same store that the service writes with.
import { randomBytes } from 'node:crypto';
import { systemClock } from '../../app/kernel/clock.ts';
import type { LinkCommand } from '../../app/links/link-store.ts';
import { openSqliteStore } from '../../app/store/sqlite/open-store.ts';

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
  const store = await openSqliteStore({
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
  });
  for (let first = 0; first < count; first += UNIT) {
    const size = Math.min(UNIT, count - first);
    await store.links.apply([Array.from({ length: size }, (_, index) => createCommand(first + index))]);
    onProgress?.(first + size);
  }
  await store.close();
}

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
