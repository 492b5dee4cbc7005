// `npm run bench:size`: what many links cost a redirect. One of ours with a thousand links and one with ten million (unless told
// otherwise) in turn, the many followed with even chances and as people follow links; what counts is the median of the ratios
// within each round. The many need some 4 GB of room for a while.
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startContender } from './bench/contenders.ts';
import { type LoadOptions, measureRate } from './bench/load.ts';
import { describeMachine } from './bench/machine.ts';
import { compare, type Round } from './bench/ratios.ts';
import { seedManyLinks } from './bench/seed.ts';

const { values } = parseArgs({
  options: {
    few: { type: 'string', default: '1000' },
    many: { type: 'string', default: '10000000' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '5' },
    'warm-up': { type: 'string', default: '10' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const CONTENDERS = {
  few: { links: Number(values.few), keys: 'even' },
  'many, even chances': { links: Number(values.many), keys: 'even' },
  'many, Zipf': { links: Number(values.many), keys: 'zipf' },
} as const;
const NAMES = Object.keys(CONTENDERS) as (keyof typeof CONTENDERS)[];

const folder = mkdtempSync(join(values.folder, 'fleetlink-bench-'));
const folderOf = (links: number): string => join(folder, String(links));
try {
  for (const links of new Set(NAMES.map((name) => CONTENDERS[name].links))) {
    say(`seeding ${links} links`);
    await seedManyLinks(folderOf(links), links);
  }
  const rounds: Round[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const rates: Record<string, number> = {};
    for (const name of NAMES) rates[name] = await measure(CONTENDERS[name]);
    rounds.push(rates);
    say(
      `round ${round}/${values.rounds}: ${NAMES.map((name) => `${name} ${Math.round(rates[name] ?? 0)}/s`).join(' · ')}`,
    );
  }
  console.log(describeMachine());
  console.table(compare(rounds, NAMES, ['few']));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measure(load: Omit<LoadOptions, 'seconds'>): Promise<number> {
  const contender = await startContender('fleetlink', folderOf(load.links));
  try {
    await readWhole(join(folderOf(load.links), 'links.db'));
    await measureRate(contender.url, { ...load, seconds: Number(values['warm-up']) });
    return await measureRate(contender.url, { ...load, seconds: Number(values.seconds) });
  } finally {
    await contender.stop();
  }
}

/** A service that runs for days has its file in the memory of the system; a round is too short to bring it there. */
async function readWhole(path: string): Promise<void> {
  for await (const _piece of createReadStream(path, { highWaterMark: 1024 * 1024 }));
}
