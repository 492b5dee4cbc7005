// Load on loopback: 64 keep-alive connections that ask for random keys, as a browser would ask.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { findCommand } from '../requirements.ts';
import { keyOf } from './seed.ts';

const CONNECTIONS = 64;
const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36';

export interface LoadOptions {
  readonly seconds: number;
  /** Keys are drawn from this many. */
  readonly links: number;
}

/** Answers per second. Throws when an answer was not a redirect. */
export function measureRate(url: string, options: LoadOptions): Promise<number> {
  const hasWrk = findCommand('wrk', process.env.PATH ?? '') !== null;
  return hasWrk ? measureWithWrk(url, options) : measureWithAutocannon(url, options);
}

async function measureWithWrk(url: string, { seconds, links }: LoadOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-wrk-'));
  try {
    const script = join(folder, 'random-keys.lua');
    writeFileSync(script, wrkScript(links));
    const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-s', script, url];
    const wrk = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    wrk.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await once(wrk, 'close');
    const rate = /Requests\/sec:\s+([\d.]+)/.exec(output)?.[1];
    if (rate === undefined || /Non-2xx or 3xx|Socket errors/.test(output))
      throw new Error(`wrk reports:\n${output}`);
    return Number(rate);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The key of number n is `k` and n in six digits, so that the script can make it without a table. */
function wrkScript(links: number): string {
  return `
math.randomseed(os.time())
wrk.headers["User-Agent"] = "${USER_AGENT}"
request = function()
  return wrk.format("GET", string.format("/k%06d", math.random(0, ${links - 1})))
end
`;
}

async function measureWithAutocannon(url: string, { seconds, links }: LoadOptions): Promise<number> {
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: seconds,
    headers: { 'user-agent': USER_AGENT },
    requests: Array.from({ length: 10_000 }, () => ({
      path: `/${keyOf(Math.floor(Math.random() * links))}`,
    })),
  });
  if (result.errors > 0 || result['4xx'] > 0 || result['5xx'] > 0)
    throw new Error('Some answers were no redirects.');
  return result.requests.average;
}
