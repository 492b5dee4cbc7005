// `npm run bench:size`: what many links cost a redirect. Two of ours in turn, one with a thousand links and one with ten million
// (unless told otherwise), under the same load; what counts is the median of the ratios within each round. The many need some
// 8 GB of room for a while.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startContender } from './bench/contenders.ts';
import { measureRate } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { median } from './bench/ratios.ts';
import { seedManyLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    few: { type: 'string', default: '1000' },
    many: { type: 'string', default: '10000000' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '5' },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'fleetlink-bench-'));
try {
  const sizes = [Number(values.few), Number(values.many)];
  for (const links of sizes) {
    say(`seeding ${links} links`);
    await seedManyLinks(join(folder, String(links)), links);
  }
  const ratios: number[] = [];
  const rates: number[][] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const [few = 0, many = 0] = [await measure(sizes[0] ?? 0), await measure(sizes[1] ?? 0)];
    ratios.push(many / few);
    rates.push([few, many]);
    say(`round ${round}/${values.rounds}: ${Math.round(few)}/s with few, ${Math.round(many)}/s with many`);
  }
  console.log(describeMachine());
  console.table(
    sizes.map((links, index) => ({
      links,
      'per second': Math.round(median(rates.map((round) => round[index] as number))),
      'x few': index === 0 ? '1' : spread(ratios),
    })),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measure(links: number): Promise<number> {
  const contender = await startContender('fleetlink', join(folder, String(links)));
  try {
    await measureRate(contender.url, { seconds: 5, links });
    return await measureRate(contender.url, { seconds: Number(values.seconds), links });
  } finally {
    await contender.stop();
  }
}

function spread(numbers: readonly number[]): string {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  return `${median(numbers).toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
}
