// A roll over hosts with disks, processes and addresses of their own, reached over SSH, behind a balancer: people who follow and make links
// meanwhile notice nothing. PROVE=1: 500 connections at half of what the hosts can do, else 30.

import t, { type Test } from 'tap';
import { EXIT } from '../../devops/roll/deploy.ts';
import { type Fleet, isLabPossible, openFleet, SHORT_BAKE } from '../support/lab-fleet.ts';
import { IS_PROOF } from '../support/property.ts';
import { ADMIN_KEY, ask } from '../support/service.ts';
import { until } from '../support/until.ts';

const CONNECTIONS = IS_PROOF ? 500 : 30;
/** Of the short form, between an answer and the next request of a connection. */
const REST_MS = 50;
const PEAK_MS = 5000;

/** Somebody who makes one link after the other. */
interface Maker {
  /** The keys that were acknowledged, and the statuses of those that were not. */
  stop(): Promise<{ readonly keys: readonly string[]; readonly refusals: readonly number[] }>;
}

function startMaker(url: string): Maker {
  const keys: string[] = [];
  const refusals: number[] = [];
  let isStopping = false;
  const made = (async () => {
    for (let number = 0; !isStopping; number++) {
      const body = { url: `https://example.com/${number}` };
      const answer = await ask('POST', `${url}/api/v1/links`, { body, key: ADMIN_KEY });
      if (answer.status === 201) keys.push((answer.body as { key: string }).key);
      else refusals.push(answer.status);
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  })();
  return {
    async stop() {
      isStopping = true;
      await made;
      return { keys, refusals };
    },
  };
}

/** Redirects a second, when everybody asks as soon as he has an answer. */
async function measurePeak(fleet: Fleet): Promise<number> {
  const load = await fleet.follow({ connections: CONNECTIONS });
  const [before, startedAt] = [load.answers(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, PEAK_MS));
  const rate = ((load.answers() - before) * 1000) / (performance.now() - startedAt);
  await load.stop();
  return rate;
}

async function countClicks({ lab }: Fleet): Promise<number> {
  const { body } = await ask('GET', `${lab.url}/api/v1/links/fleetlink-smoke/stats?reason=all`, {
    key: ADMIN_KEY,
  });
  return (body as { totals: { clicks: number } }).totals.clicks;
}

async function roll(t: Test, given: { hosts: number; hasDatabase: boolean }): Promise<void> {
  const fleet = await openFleet(t, { ...given, deploy: { bake: SHORT_BAKE } });
  const { lab } = fleet;
  t.equal(await fleet.deploy('r1', await fleet.release('r1')), EXIT.done, fleet.output());
  const releases = [await fleet.release('r2'), await fleet.release('r3')] as const;
  const peak = IS_PROOF ? await measurePeak(fleet) : null;
  const clicksBefore = await settledClicks(fleet);
  const load = await fleet.follow({
    connections: CONNECTIONS,
    restMs: peak === null ? REST_MS : (1000 * CONNECTIONS) / (peak / 2),
  });
  const maker = startMaker(lab.url);
  const startedAt = performance.now();
  const answersBefore = load.answers();
  t.equal(await fleet.deploy('r2', releases[0]), EXIT.done, fleet.output());
  t.equal(await fleet.deploy('r3', releases[1]), EXIT.done, fleet.output());
  t.equal(await fleet.rollback(), EXIT.done, fleet.output());
  const seconds = (performance.now() - startedAt) / 1000;
  const rate = (load.answers() - answersBefore) / seconds;
  const { keys, refusals: unmade } = await maker.stop();
  const { refusals, inFlightTotal, answeredTotal } = await load.stop();
  t.same([refusals, inFlightTotal], [[], 0], `of ${answeredTotal} redirects none failed`);
  t.same(unmade, [], `of ${keys.length} links none was refused`);
  t.match(
    await fleet.inspect(),
    lab.hosts.map(() => ({ current: 'r2', readyz: { status: 'ready', release: 'r2' }, lease: null })),
  );
  for (const key of keys) t.equal((await ask('HEAD', `${lab.url}/${key}`)).status, 302);
  await until(
    'every redirect is counted',
    async () => (await countClicks(fleet)) >= clicksBefore + answeredTotal,
  );
  t.equal(await countClicks(fleet), clicksBefore + answeredTotal, 'and none twice');
  t.comment(
    `${given.hosts} hosts, ${CONNECTIONS} connections, peak ${peak === null ? 'not measured' : Math.round(peak)}: three rolls in ${seconds.toFixed(0)} s at ${Math.round(rate)} redirects a second, ${answeredTotal} redirects and ${keys.length} links, none failed`,
  );
}

/** What was followed before, once all of it is counted. */
async function settledClicks(fleet: Fleet): Promise<number> {
  let before = -1;
  await until('no more clicks come in', async () => {
    const now = await countClicks(fleet);
    const isSame = now === before;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return isSame;
  });
  return before;
}

async function main(t: Test): Promise<void> {
  await t.test('three hosts on one database take a release, another, and go back, under load', (t) =>
    roll(t, { hosts: 3, hasDatabase: true }),
  );
  await t.test('and so does one host with SQLite', (t) => roll(t, { hosts: 1, hasDatabase: false }));
}

if (isLabPossible(t)) await main(t);
