// `npm run bench:writes`: durable new links a second, one after another and 64 at once, over the API and in the store alone, beside
// what the same disk can do one by one: a page appended to a file and synced; and SQLite, a row in a table without index.
// Rounds run them in turn; what counts is the median of the ratios.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Database from 'better-sqlite3';
import { startContender } from './bench/contenders.ts';
import { ADMIN_KEY, measureCreates } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { compare, type Round } from './bench/ratios.ts';
import { measureCreations } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    /** Where the files lie: a disk, not memory. */
    folder: { type: 'string', default: tmpdir() },
  },
});
const seconds = Number(values.seconds);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const PAGE = Buffer.alloc(4096, 'x');
const CLIENTS = [1, 64];

const folder = mkdtempSync(join(values.folder, 'fleetlink-bench-'));
try {
  const rounds: Round[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const rates: Record<string, number> = { sync: countSyncs(), 'sqlite, one row': countRows() };
    for (const clients of CLIENTS) {
      rates[`store, ${clients} at once`] = await countCreations(clients);
      rates[`API, ${clients} at once`] = await countLinks(clients);
    }
    rounds.push(rates);
    say(`round ${round}/${values.rounds}: ${JSON.stringify(rates)}`);
  }
  console.log(describeMachine());
  console.table(compare(rounds, Object.keys(rounds[0] ?? {}), ['sync']));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** A second. */
function countSyncs(): number {
  const file = openSync(join(folder, 'page'), 'w');
  try {
    return countTimes(() => {
      writeSync(file, PAGE);
      fdatasyncSync(file);
    });
  } finally {
    closeSync(file);
  }
}

/** A second. */
function countRows(): number {
  const db = new Database(join(folder, 'rows.db'));
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.exec('create table if not exists rows (text)');
    const insert = db.prepare("insert into rows (text) values ('https://example.com/articles/12345')");
    return countTimes(() => insert.run());
  } finally {
    db.close();
  }
}

/** How often `work` is done in a second. */
function countTimes(work: () => void): number {
  const startedAt = performance.now();
  let count = 0;
  for (; performance.now() - startedAt < seconds * 1000; count++) work();
  return Math.round((count / (performance.now() - startedAt)) * 1000);
}

/** A second. */
async function countCreations(clients: number): Promise<number> {
  return Math.round(await measureCreations(join(folder, 'store'), { clients, seconds }));
}

/** A second. */
async function countLinks(clients: number): Promise<number> {
  const env = { ADMIN_API_KEY: ADMIN_KEY, KEY_CREATES_PER_MINUTE: '100000000', LOG_LEVEL: 'info' };
  const service = await startContender('fleetlink', folder, env);
  try {
    return await measureCreates(service.url, { clients, seconds });
  } finally {
    await service.stop();
  }
}
