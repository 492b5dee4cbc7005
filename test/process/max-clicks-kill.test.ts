// A limit of clicks outlives kill -9: nothing is given back, and nothing twice. PROVE=1: 50 kills, else 5.

import t, { type Test } from 'tap';
import { countStored, createClient, makeLinks, readUsed, type Tally } from '../support/limited-links.ts';
import { IS_PROOF } from '../support/property.ts';
import { buildRelease } from '../support/release.ts';
import { createSeededRandom, pickInteger, type Random } from '../support/seed.ts';
import { type RunningServer, startServer } from '../support/server-process.ts';
import { makeFolder } from '../support/service.ts';

/** Limits that are met at once, soon, and after some kills. */
const LIMITS = IS_PROOF ? [1, 100, 2000, 20_000] : [1, 50, 500, 3000];
const RUNS = IS_PROOF ? 50 : 5;
const CLIENTS = 20;
/** From the first request to the kill. */
const MOMENT_MS = { min: 1, max: 500 };

t.test('kill -9 gives nothing back: answered ≤ used ≤ max, over all kills together', async (t) => {
  const random = createSeededRandom(t);
  const release = await buildRelease(t);
  const dataDir = makeFolder(t);
  const start = () => startServer(t, { dataDir, release });
  const tally: Tally = new Map();
  let server = await start();
  const keys = await makeLinks(server.url, LIMITS);
  for (let run = 0; run < RUNS; run++) {
    await killWhileFollowed(server, { keys, tally, random });
    server = await start();
    checkUsed(t, { dataDir, keys, tally, run });
  }
  const lost = countUnanswered(tally, keys);
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const { ask, leave } = createClient(server.url, tally);
      for (const key of keys) while ((await ask('GET', key)) === 302);
      leave();
    }),
  );
  checkUsed(t, { dataDir, keys, tally, run: RUNS });
  for (const [n, key] of keys.entries()) {
    const max = LIMITS[n] ?? 0;
    const answered = tally.get(`GET ${key}: 302`) ?? 0;
    t.equal(readUsed(dataDir, key), max, `${key} is used up`);
    t.ok(answered <= max && answered >= max - (lost[n] ?? 0), `${answered} of ${max} were answered`);
  }
  t.comment(JSON.stringify({ runs: RUNS, unanswered: lost, ...Object.fromEntries(tally) }));
  t.ok(
    lost.some((times) => times > 0),
    'the kills met redirects that were under way',
  );
  t.same(await server.stop(), { code: 0, signal: null });
});

interface Killing {
  readonly keys: readonly string[];
  readonly tally: Tally;
  readonly random: Random;
}

async function killWhileFollowed(server: RunningServer, { keys, tally, random }: Killing): Promise<void> {
  const clients = Array.from({ length: CLIENTS }, async () => {
    const { ask, leave } = createClient(server.url, tally);
    const pick = () => keys[pickInteger(random, { min: 0, max: keys.length - 1 })] ?? '';
    while ((await ask('GET', pick())) !== null);
    leave();
  });
  // Not a wait for something to happen, but the random moment itself.
  const timer = setTimeout(() => server.kill('SIGKILL'), pickInteger(random, MOMENT_MS));
  await Promise.all(clients);
  clearTimeout(timer);
  await server.exit;
}

/** Requests for each key that had no answer, and may have used one up. */
function countUnanswered(tally: Tally, keys: readonly string[]): number[] {
  const answers = keys.map((key) => [`GET ${key}: 302`, `GET ${key}: 410`]);
  return keys.map((key, n) =>
    [...tally]
      .filter(([what]) => what.startsWith(`GET ${key}:`) && !answers[n]?.includes(what))
      .reduce((sum, [, times]) => sum + times, 0),
  );
}

interface Checked {
  readonly dataDir: string;
  readonly keys: readonly string[];
  readonly tally: Tally;
  readonly run: number;
}

function checkUsed(t: Test, { dataDir, keys, tally, run }: Checked): void {
  const unanswered = countUnanswered(tally, keys);
  const faults = keys.flatMap((key, n) => {
    const used = Number(readUsed(dataDir, key) ?? 0);
    const answered = tally.get(`GET ${key}: 302`) ?? 0;
    const stored = countStored(dataDir, key);
    const isRight =
      answered <= used &&
      used <= answered + (unanswered[n] ?? 0) &&
      used <= (LIMITS[n] ?? 0) &&
      // A quota and its click are one transaction.
      used === stored;
    return isRight ? [] : [{ key, answered, used, stored, unanswered: unanswered[n] }];
  });
  t.same(faults, [], `after run ${run}`);
}
