// `npm run bench:fleet`: what a redirect costs on a host of a fleet, beside the same host alone, with PostgreSQL on the same machine; and
// how often the database is asked at a steady rate once everything is shipped and counted. Both have the same links and are warm. Rounds
// run them in turn; what counts is the median of the ratios within each round.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Database from 'better-sqlite3';
import pg from 'pg';
import { FILLED } from '../app/fleet/link-copy.ts';
import { systemClock } from '../app/kernel/clock.ts';
import { moveStore } from '../app/store/move/move-store.ts';
import { copyPathOf } from '../app/store/sqlite/copy-files.ts';
import { type Contender, startContender } from './bench/contenders.ts';
import { ADMIN_KEY, measureCreates, measureLatency, measureRate } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { compare, median, type Round } from './bench/ratios.ts';
import { seedLinks } from './bench/seed.ts';
import { preparePostgres } from './postgres-server.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '5' },
    'warm-up': { type: 'string', default: '8' },
    links: { type: 'string', default: '100000' },
    rate: { type: 'string', default: '2000' },
    // Tells which statements they are.
    statements: { type: 'boolean', default: false },
  },
});
const links = Number(values.links);
const rate = Number(values.rate);
const seconds = Number(values.seconds);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const NAMES = ['alone', 'in a fleet'] as const;
type Name = (typeof NAMES)[number];

const TOP = `select calls, rows, left(regexp_replace(query, '\\s+', ' ', 'g'), 90) as query from pg_stat_statements
  where query not ilike '%pg_stat_statements%' order by calls desc limit 30`;

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
const folderOf = (name: Name): string => join(folder, name);
const postgres = await preparePostgres({ settings: ['shared_preload_libraries=pg_stat_statements'] });
try {
  await postgres.start();
  await ask('create extension pg_stat_statements');
  say(`seeding ${links} links`);
  await seedLinks(folderOf('alone'), links);
  cpSync(folderOf('alone'), folderOf('in a fleet'), { recursive: true });
  await moveStore({
    dataDir: folderOf('in a fleet'),
    databaseUrl: postgres.url,
    clock: systemClock,
    onProgress: () => undefined,
    onBroken: () => undefined,
  });
  const rounds: Round[] = [];
  const creates: Round[] = [];
  const perThousand: Questions[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const order = round % 2 === 0 ? NAMES : NAMES.toReversed();
    const rates: Record<string, number> = {};
    const made: Record<string, number> = {};
    for (const name of order) {
      rates[name] = await withHost(name, async ({ url, managementUrl }) => {
        made[name] = await measureCreates(url, { clients: 64, seconds });
        await measureRate(url, { seconds: Number(values['warm-up']), links });
        const measured = await measureRate(url, { seconds, links });
        if (name === 'in a fleet') perThousand.push(await measureQuestions(url, managementUrl));
        return measured;
      });
    }
    rounds.push(rates);
    creates.push(made);
    say(
      `round ${round}/${values.rounds}: ${NAMES.map((name) => `${name} ${Math.round(rates[name] ?? 0)}/s`).join(' · ')}`,
    );
  }
  console.log(describeMachine());
  console.log('Redirects:');
  console.table(compare(rounds, NAMES, ['alone']));
  console.log('New links, 64 clients:');
  console.table(compare(creates, NAMES, ['alone']));
  const at = (part: keyof Questions): string => median(perThousand.map((one) => one[part])).toFixed(1);
  console.log(
    `At ${rate} redirects a second the database is asked ${at('all')} times for 1,000 of them: ${at('bare')} times without their clicks, ${at('brackets')} times to begin and end transactions.
Meanwhile at most ${at('unshipped')} clicks wait on the disk of the host, and would be lost with it.`,
  );
} finally {
  await postgres.kill();
  postgres.remove();
  rmSync(folder, { recursive: true, force: true });
}

/** What the database is asked for 1,000 redirects. */
interface Questions {
  readonly all: number;
  /** Of them, those that would be asked without any click too. */
  readonly bare: number;
  readonly brackets: number;
  /** The most clicks that waited on the host's disk. */
  readonly unshipped: number;
}

async function measureQuestions(url: string, managementUrl: string): Promise<Questions> {
  await waitUntilCounted(managementUrl);
  const idle = await countQuestions(() => new Promise((resolve) => setTimeout(resolve, seconds * 1000)));
  const [asked, unshipped] = await watchUnshipped(managementUrl, () =>
    countQuestions(() => measureLatency(url, { seconds, links, rate })),
  );
  const perThousand = (count: number): number => (count / (rate * seconds)) * 1000;
  return {
    all: perThousand(asked.all),
    bare: perThousand(idle.all),
    brackets: perThousand(asked.brackets),
    unshipped,
  };
}

/** All clicks of before are shipped and counted. */
async function waitUntilCounted(managementUrl: string): Promise<void> {
  for (;;) {
    const { fleetlink_clicks_unshipped: unshipped, fleetlink_clicks_uncounted_seconds: waiting } =
      await readMetrics(managementUrl);
    if (unshipped === 0 && waiting === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** The most clicks that waited on the host's disk, which would be lost with it, while `work` runs. */
async function watchUnshipped<T>(managementUrl: string, work: () => Promise<T>): Promise<[T, number]> {
  let most = 0;
  const watching = setInterval(async () => {
    const { fleetlink_clicks_unshipped: unshipped = 0 } = await readMetrics(managementUrl);
    most = Math.max(most, unshipped);
  }, 100);
  try {
    return [await work(), most];
  } finally {
    clearInterval(watching);
  }
}

/** Those without labels, by name. */
async function readMetrics(managementUrl: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${managementUrl}/metrics`)).text();
  return Object.fromEntries(
    [...text.matchAll(/^(\w+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
}

async function withHost<T>(name: Name, use: (host: Contender) => Promise<T>): Promise<T> {
  const env: Record<string, string> = {
    ADMIN_API_KEY: ADMIN_KEY,
    KEY_CREATES_PER_MINUTE: '0',
    ...(name === 'in a fleet' && { DATABASE_URL: postgres.url }),
  };
  const host = await startContender('fleetlink', folderOf(name), env);
  try {
    if (name === 'in a fleet') await waitUntilFilled();
    return await use(host);
  } finally {
    await host.stop();
  }
}

async function waitUntilFilled(): Promise<void> {
  for (;;) {
    const copy = new Database(copyPathOf(folderOf('in a fleet'), postgres.url), { readonly: true });
    const filled = copy.prepare("select value from sequences where name = 'filled_to'").pluck().get();
    copy.close();
    if (filled === FILLED) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** By everybody, while `work` runs. */
async function countQuestions(work: () => Promise<unknown>): Promise<{ all: number; brackets: number }> {
  await ask('select pg_stat_statements_reset()');
  await work();
  const [row] = await ask(`
    select sum(calls)::int as all, coalesce(sum(calls) filter (where query ~* '^(begin|commit|rollback|set )'), 0)::int as brackets
    from pg_stat_statements where query not ilike '%pg_stat_statements%'`);
  if (values.statements) console.error(await ask(TOP));
  return row as { all: number; brackets: number };
}

async function ask(text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
