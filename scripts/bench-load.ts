// `npm run bench:load`: what a long busy day does. First 500 connections that follow 5,000 links a second for a minute, while
// 50 links a second are made; then as many redirects as it can, five million of them, and how its memory goes meanwhile.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Contender, readAnonymousMb, startContender } from './bench/contenders.ts';
import { measureLatency, measureRate } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { seedLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '500' },
    rate: { type: 'string', default: '5000' },
    writes: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '60' },
    redirects: { type: 'string', default: '5000000' },
    links: { type: 'string', default: '100000' },
  },
});
const links = Number(values.links);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const ADMIN_KEY = 'benchmark-admin-key-0123456789';
/** Between two readings of memory. */
const READ_EVERY_S = 10;
const WARM_UP_S = 5;

interface Writes {
  made: number;
  failed: number;
  worstMs: number;
}

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
try {
  say(`seeding ${links} links`);
  await seedLinks(folder, links);
  const env = { ADMIN_API_KEY: ADMIN_KEY, KEY_CREATES_PER_MINUTE: '1000000' };
  const service = await startContender('fleetlink', folder, env);
  try {
    console.log(describeMachine());
    console.table([await loadSteadily(service)]);
    console.table(await watchMemory(service));
  } finally {
    await service.stop();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function loadSteadily({ url }: Contender) {
  const [seconds, rate, connections] = [values.seconds, values.rate, values.connections].map(Number) as [
    number,
    number,
    number,
  ];
  say(`${connections} connections, ${rate} redirects and ${values.writes} new links a second, ${seconds} s`);
  // Of the generator, too: opening so many connections at once is not what is measured.
  await measureLatency(url, { seconds: WARM_UP_S, links, rate, connections });
  const writes: Writes = { made: 0, failed: 0, worstMs: 0 };
  const writing = setInterval(() => void writeLink(url, writes), 1000 / Number(values.writes));
  try {
    const latency = await measureLatency(url, { seconds, links, rate, connections });
    return { connections, rate, ...latency, ...writes };
  } finally {
    clearInterval(writing);
  }
}

async function writeLink(url: string, writes: Writes): Promise<void> {
  const startedAt = performance.now();
  const isMade = await makeLink(url, writes.made).catch(() => false);
  if (isMade) writes.made++;
  else writes.failed++;
  writes.worstMs = Math.max(writes.worstMs, Math.round(performance.now() - startedAt));
}

async function makeLink(url: string, number: number): Promise<boolean> {
  const answer = await fetch(`${url}/api/v1/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url: `https://example.com/new/${number}/${Math.random()}` }),
  });
  await answer.arrayBuffer();
  return answer.status === 201;
}

async function watchMemory({ url, pid }: Contender) {
  const rows = [{ redirects: 0, 'anonymous MB': Math.round(readAnonymousMb(pid)), 'per second': 0 }];
  for (let redirects = 0; redirects < Number(values.redirects); ) {
    const rate = await measureRate(url, { seconds: READ_EVERY_S, links });
    redirects += Math.round(rate * READ_EVERY_S);
    const row = {
      redirects,
      'anonymous MB': Math.round(readAnonymousMb(pid)),
      'per second': Math.round(rate),
    };
    rows.push(row);
    say(JSON.stringify(row));
  }
  return rows;
}
