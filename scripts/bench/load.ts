// Load on loopback: 64 keep-alive connections that ask for random keys, as a browser would ask.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { findCommand } from '../requirements.ts';
import { keyOf } from './seed.ts';
import { loadSteadily } from './steady-load.ts';

const CONNECTIONS = 64;
const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36';

export interface LoadOptions {
  readonly seconds: number;
  /** Keys are drawn from this many. */
  readonly links: number;
  /**
   * `even` (unless told otherwise): each has the same chance. `zipf`: the nth has one of 1/n, as far as measurements of the web
   * go; its number is the count of links to the power of an even chance.
   */
  readonly keys?: 'even' | 'zipf';
}

/** Answers per second. Throws when an answer was not a redirect. */
export function measureRate(url: string, options: LoadOptions): Promise<number> {
  const hasWrk = findCommand('wrk', process.env.PATH ?? '') !== null;
  return hasWrk ? measureWithWrk(url, options) : measureWithAutocannon(url, options);
}

async function measureWithWrk(url: string, { seconds, links, keys }: LoadOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-wrk-'));
  try {
    const script = join(folder, 'random-keys.lua');
    writeFileSync(script, wrkScript(links, keys));
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
function wrkScript(links: number, keys: LoadOptions['keys'] = 'even'): string {
  const number =
    keys === 'even' ? `math.random(0, ${links - 1})` : `math.floor(${links} ^ math.random()) - 1`;
  return `
math.randomseed(os.time())
wrk.headers["User-Agent"] = "${USER_AGENT}"
request = function()
  return wrk.format("GET", string.format("/k%06d", ${number}))
end
`;
}

async function measureWithAutocannon(url: string, { seconds, links, keys }: LoadOptions): Promise<number> {
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: seconds,
    headers: { 'user-agent': USER_AGENT },
    requests: randomRequests(links, keys),
  });
  requireRedirects(result);
  return result.requests.average;
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly 'p99.9': number;
}

export interface SteadyLoad extends LoadOptions {
  /** Requests a second. */
  readonly rate: number;
  readonly connections?: number;
}

/** Latency at a fixed rate, from the moment a request was due. Throws when an answer was not a redirect. */
export async function measureLatency(
  url: string,
  { seconds, links, keys, rate, connections = CONNECTIONS }: SteadyLoad,
): Promise<Latency> {
  const headers = { 'User-Agent': USER_AGENT };
  const pickPath = pathPicker(links, keys);
  const { latencies, failures } = await loadSteadily({ url, connections, rate, seconds, headers, pickPath });
  if (failures > 0) throw new Error(`${failures} of ${rate * seconds} answers were no redirects.`);
  const at = (share: number): number => latencies[Math.ceil(latencies.length * share) - 1] as number;
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  return { p50: round(at(0.5)), p99: round(at(0.99)), 'p99.9': round(at(0.999)) };
}

/** Made as they leave: a list of them would be written out for each connection before the first leaves, which takes seconds. */
function randomRequests(links: number, keys: LoadOptions['keys']): autocannon.Request[] {
  const pickPath = pathPicker(links, keys);
  return [{ setupRequest: (request) => ({ ...request, path: pickPath() }) }];
}

function pathPicker(links: number, keys: LoadOptions['keys'] = 'even'): () => string {
  const pick = (): number =>
    keys === 'even' ? Math.floor(Math.random() * links) : Math.floor(links ** Math.random()) - 1;
  return () => `/${keyOf(pick())}`;
}

function requireRedirects(result: autocannon.Result): void {
  const failed = result.errors + result['2xx'] + result['4xx'] + result['5xx'];
  if (failed > 0) throw new Error(`${failed} of ${result.requests.total} answers were no redirects.`);
}

/** Of a service that is measured while links are made. */
export const ADMIN_KEY = 'benchmark-admin-key-0123456789';

/** New links a second, each of `clients` one after the other. Throws when one was not made. */
export async function measureCreates(
  url: string,
  { clients, seconds }: { readonly clients: number; readonly seconds: number },
): Promise<number> {
  const { errors, non2xx, requests } = await autocannon({
    url: `${url}/api/v1/links`,
    connections: clients,
    duration: seconds,
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url: 'https://example.com/articles/12345/a-path-of-usual-length' }),
  });
  if (errors + non2xx > 0) throw new Error('Some links were not made.');
  return requests.average;
}
