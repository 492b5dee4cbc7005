// What an answered redirect is worth: its click is in clicks.db, whatever ends the process. PROVE=1: 100 kills, else 5.

import Database from 'better-sqlite3';
import t from 'tap';
import { countRows, findWrong, makeLinks, readLastId, sumOf } from '../support/click-proof.ts';
import { startRedirectLoad } from '../support/redirect-load.ts';
import { buildRelease } from '../support/release.ts';
import { createSeededRandom, pickInteger } from '../support/seed.ts';
import { startServer } from '../support/server-process.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const isProof = process.env.PROVE === '1';
const RUNS = isProof ? 100 : 5;
const CONNECTIONS = 64;
const LINKS = 500;
/** From the first request to the kill: from before the first answer to some thousand of them. */
const MOMENT_MS = { min: 1, max: 800 };
/** Answers before a planned stop. */
const ANSWERS = isProof ? 20_000 : 2000;

const release = await buildRelease(t);

t.test('kill -9: no click of an answered redirect is lost, and none is there that nobody made', async (t) => {
  const random = createSeededRandom(t);
  const dataDir = makeFolder(t);
  const start = () => startServer(t, { dataDir, release });
  let server = await start();
  const links = await makeLinks(server.url, LINKS);
  const totals = { answered: 0, rows: 0, inFlight: 0, unanswered: 0 };
  for (let run = 0; run < RUNS; run++) {
    const before = readLastId(dataDir);
    const { url } = server;
    const load = startRedirectLoad({
      url,
      connections: CONNECTIONS,
      keys: links.keys,
      random,
      reconnects: false,
    });
    // Not a wait for something to happen, but the random moment itself.
    const timer = setTimeout(server.kill, pickInteger(random, MOMENT_MS), 'SIGKILL');
    const { answered, answeredTotal, inFlight, inFlightTotal, refusals } = await load.ended();
    clearTimeout(timer);
    await server.exit;
    server = await start();
    const rows = countRows(dataDir, links, before);
    t.same([refusals, findWrong(rows, answered, inFlight)], [[], []], `run ${run}`);
    t.ok(inFlightTotal <= CONNECTIONS);
    totals.answered += answeredTotal;
    totals.rows += sumOf(rows);
    totals.inFlight += inFlightTotal;
    if (answeredTotal === 0) totals.unanswered++;
  }
  t.comment(JSON.stringify(totals));
  t.ok(totals.answered > 0 && totals.inFlight > 0, 'the kills met redirects that were under way');
  t.same(await server.stop(), { code: 0, signal: null });
  const db = new Database(`${dataDir}/clicks.db`, { readonly: true });
  t.equal(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} under load: as many clicks as answers`, async (t) => {
    const random = createSeededRandom(t);
    const dataDir = makeFolder(t);
    const server = await startServer(t, { dataDir, release, env: { DRAIN_MS: '200' } });
    const links = await makeLinks(server.url, LINKS);
    const { url } = server;
    const load = startRedirectLoad({
      url,
      connections: CONNECTIONS,
      keys: links.keys,
      random,
      reconnects: false,
    });
    await until('it is under load', () => load.answers() >= ANSWERS, 60_000);
    t.same(await server.stop(signal), { code: 0, signal: null });
    const { answered, answeredTotal, inFlightTotal, refusals } = await load.ended();
    const rows = countRows(dataDir, links);
    t.same([refusals, inFlightTotal], [[], 0], 'nobody was refused or cut off');
    t.same(findWrong(rows, answered), []);
    t.equal(sumOf(rows), answeredTotal);
    t.match(server.log().at(-1), {
      msg: 'stopped',
      clicks: { served: answeredTotal, pending: 0, dropped: 0, missing: 0, waited_ms_max: 0 },
    });
    t.comment(JSON.stringify({ answeredTotal }));
  });
}
