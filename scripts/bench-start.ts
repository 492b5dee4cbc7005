// `npm run bench:start`: what a large database costs. Fills one with links (a million unless told otherwise), starts the
// built service on it several times, and asks for pages in every way there is. Prints medians and the worst case.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Contender, readAnonymousMb, startContender } from './bench/contenders.ts';
import { median } from './bench/ratios.ts';
import { seedLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    links: { type: 'string', default: '1000000' },
    starts: { type: 'string', default: '5' },
    requests: { type: 'string', default: '20' },
  },
});
const links = Number(values.links);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const ADMIN_KEY = 'benchmark-admin-key-0123456789';

const QUESTIONS = [
  '',
  'sort=created_at',
  'sort=key',
  'sort=-updated_at',
  'status=deleted',
  'tag=tag10',
  'tag=tag20&sort=key',
  'q=articles/77777',
  'q=https://example',
  'q=title-that-nobody-has',
  'q=article%20999',
  'q=utm_source=42&limit=200',
  'q=utm_source=42&sort=key',
  'q=article&tag=tag30&sort=-updated_at',
  'q=zz',
  // Each part of three characters is in every link, the whole in none.
  `q=${'article.com/'.repeat(16)}`,
];

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
try {
  await seedLinks(folder, links, (done) => {
    if (done % 50_000 === 0) say(`seeded ${done} of ${links} links`);
  });
  const readyMs: number[] = [];
  const memoryMb: number[] = [];
  for (let start = 1; start <= Number(values.starts); start++) {
    const startedAt = performance.now();
    const service = await startContender('fleetlink', folder, { ADMIN_API_KEY: ADMIN_KEY });
    readyMs.push(performance.now() - startedAt);
    memoryMb.push(readAnonymousMb(service.pid));
    await service.stop();
  }
  console.table([
    { figure: 'start to ready, ms', ...summarise(readyMs) },
    { figure: 'anonymous memory, MB', ...summarise(memoryMb) },
  ]);
  const service = await startContender('fleetlink', folder, { ADMIN_API_KEY: ADMIN_KEY });
  const rows = [];
  for (const question of QUESTIONS) rows.push({ question, ...summarise(await timeList(service, question)) });
  console.table(rows);
  say(`anonymous memory after the lists: ${readAnonymousMb(service.pid).toFixed(0)} MB`);
  await service.stop();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Milliseconds of each request. */
async function timeList({ url }: Contender, question: string): Promise<number[]> {
  const times: number[] = [];
  for (let request = 0; request < Number(values.requests); request++) {
    const startedAt = performance.now();
    const answer = await fetch(`${url}/api/v1/links?${question}`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${question} answered ${answer.status}.`);
    times.push(performance.now() - startedAt);
  }
  return times;
}

function summarise(numbers: readonly number[]): { median: string; worst: string } {
  return { median: median(numbers).toFixed(1), worst: Math.max(...numbers).toFixed(1) };
}
