// `npm run bench`: how fast the redirect lane is beside what it could be (bare node:http) and what it would be inside
// Express. Each contender is a process of its own; rounds run them in turn, so that a slow minute of the machine hits all
// alike; what counts is the median of the ratios within each round. Prints a table, and JSON with --json.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CONTENDERS, type ContenderName, startContender } from './bench/contenders.ts';
import { measureRate } from './bench/load.ts';
import { compare, type Round } from './bench/ratios.ts';
import { seedLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    links: { type: 'string', default: '100000' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const links = Number(values.links);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
try {
  say(`seeding ${links} links`);
  await seedLinks(folder, links);
  const results: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    const rates: Partial<Record<ContenderName, number>> = {};
    for (const name of CONTENDERS) {
      const contender = await startContender(name, folder);
      try {
        await measureRate(contender.url, { seconds: 1, links });
        rates[name] = await measureRate(contender.url, { seconds, links });
      } finally {
        await contender.stop();
      }
    }
    results.push(rates as Round);
    say(
      `round ${round}/${rounds}: ${CONTENDERS.map((name) => `${name} ${Math.round(rates[name] ?? 0)}/s`).join(', ')}`,
    );
  }
  const table = compare(results, CONTENDERS);
  if (values.json) console.log(JSON.stringify({ links, seconds, rounds: results, table }, null, 2));
  else console.table(table);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
