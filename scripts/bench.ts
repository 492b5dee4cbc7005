// `npm run bench`: how fast the redirect lane is beside what it could be (bare node:http) and what it would be inside
// Express. Each contender is a process of its own; rounds run them in turn, so that a slow minute of the machine hits all
// alike; what counts is the median of the ratios within each round. Latency is measured apart, at half of our own rate.
// Prints tables, and JSON with --json.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CONTENDERS, type Contender, type ContenderName, startContender } from './bench/contenders.ts';
import { type Latency, measureLatency, measureRate } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { compare, median, type Round } from './bench/ratios.ts';
import { seedLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '8' },
    links: { type: 'string', default: '100000' },
    'latency-rounds': { type: 'string', default: '3' },
    'latency-seconds': { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const warmUp = Number(values['warm-up']);
const links = Number(values.links);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
try {
  const machine = describeMachine();
  say(`seeding ${links} links`);
  // Each counts its clicks in a file of its own.
  await seedLinks(join(folder, 'seeded'), links);
  for (const name of CONTENDERS) cpSync(join(folder, 'seeded'), join(folder, name), { recursive: true });
  const results: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    const rates: Partial<Record<ContenderName, number>> = {};
    // None comes first in all rounds.
    const first = round % CONTENDERS.length;
    for (const name of [...CONTENDERS.slice(first), ...CONTENDERS.slice(0, first)]) {
      rates[name] = await withContender(name, async ({ url }) => {
        await measureRate(url, { seconds: warmUp, links });
        return measureRate(url, { seconds, links });
      });
    }
    results.push(rates as Round);
    const told = CONTENDERS.map((name) => `${name} ${Math.round(rates[name] ?? 0)}/s`);
    say(`round ${round}/${rounds}: ${told.join(' · ')}`);
  }
  const table = compare(results, CONTENDERS);
  const rate = Math.round(median(results.map(({ fleetlink }) => fleetlink as number)) / 2);
  const latencies: Record<string, Latency>[] = [];
  for (let round = 1; round <= Number(values['latency-rounds']); round++) {
    const latency: Record<string, Latency> = {};
    for (const name of ['bare', 'fleetlink'] as const) latency[name] = await measureAtRate(name, rate);
    latencies.push(latency);
    say(`latency at ${rate}/s, round ${round}: ${JSON.stringify(latency)}`);
  }
  if (values.json) {
    console.log(
      JSON.stringify({ machine, links, seconds, rounds: results, table, rate, latencies }, null, 2),
    );
  } else {
    console.log(machine);
    console.table(table);
    console.log(`Latency at ${rate} requests a second, in ms: medians over the rounds.`);
    console.table(['bare', 'fleetlink'].map((name) => ({ contender: name, ...medians(latencies, name) })));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function measureAtRate(name: ContenderName, rate: number): Promise<Latency> {
  const duration = Number(values['latency-seconds']);
  return withContender(name, async ({ url }) => {
    // Of the generator, too.
    await measureLatency(url, { seconds: warmUp, links, rate });
    return measureLatency(url, { seconds: duration, links, rate });
  });
}

async function withContender<T>(name: ContenderName, use: (contender: Contender) => Promise<T>): Promise<T> {
  const contender = await startContender(name, join(folder, name));
  try {
    return await use(contender);
  } finally {
    await contender.stop();
  }
}

function medians(rounds: readonly Record<string, Latency>[], name: string): Latency {
  const of = (percentile: keyof Latency): number =>
    median(rounds.map((round) => (round[name] as Latency)[percentile]));
  return { p50: of('p50'), p99: of('p99'), 'p99.9': of('p99.9') };
}
