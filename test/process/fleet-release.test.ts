// Two releases beside each other on one database: the newer one has expanded the schema, and the older one goes on with it, also after
// a start, until both are back where they were.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LINK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { startPostgres } from '../support/postgres.ts';
import { buildRelease } from '../support/release.ts';
import { requireCommand } from '../support/requirement.ts';
import { type RunningServer, startServer, untilKeyWorks } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const NEXT_VERSION = LINK_SCHEMA.migrations.length + 1;

/** What the next release would do: a column that this one does not know, and that may not be empty. */
const EXPANSION = `{ version: ${NEXT_VERSION}, readableFrom: 1, async up(db) {
  await db.schema.alterTable('links').addColumn('note', 'text', (column) => column.notNull().defaultTo('')).execute();
} }`;

async function buildNextRelease(t: Test): Promise<string> {
  const folder = await buildRelease(t);
  const path = join(folder, 'dist/store/migrations/migrations.js');
  const text = readFileSync(path, 'utf8');
  const changed = text.replace(/maxClicksMigration\]/, `maxClicksMigration, ${EXPANSION}]`);
  if (changed === text) throw new Error('The migrations of links are not where they were.');
  writeFileSync(path, changed);
  return folder;
}

async function main(t: Test): Promise<void> {
  const server = await startPostgres(t);
  const url = await server.createDatabase(t);
  const [now, next] = [await buildRelease(t), await buildNextRelease(t)];
  const folders = [makeFolder(t), makeFolder(t)];
  const env = { DATABASE_URL: url };
  const start = async (host: number, release: string, more: Record<string, string> = {}) => {
    const started = await startServer(t, {
      dataDir: folders[host] as string,
      release,
      env: { ...env, ...more },
    });
    await untilKeyWorks(started);
    return started;
  };
  const hosts: RunningServer[] = [await start(0, now), await start(1, now)];
  const targets = new Map<string, string>();
  let clicks = 0;

  async function replace(host: number, release: string, more: Record<string, string> = {}): Promise<void> {
    t.same(await hosts[host]?.stop(), { code: 0, signal: null });
    hosts[host] = await start(host, release, more);
  }

  /** Each host makes a link and changes one of the other's, and all are followed everywhere. */
  async function workOn(step: string): Promise<void> {
    for (const [index, host] of hosts.entries()) {
      const key = `${step}-${index}`;
      const body = { key, url: `https://example.com/${key}`, tags: [step], max_clicks: 100 };
      t.equal(
        (await ask('POST', `${host.url}/api/v1/links`, { body })).status,
        201,
        `${step}: host ${index} makes a link`,
      );
      targets.set(key, body.url);
      const other = hosts[1 - index] as RunningServer;
      const changed = `https://example.com/${key}/changed`;
      const { status } = await ask('PATCH', `${other.url}/api/v1/links/${key}`, { body: { url: changed } });
      t.equal(status, 200, `${step}: the other host changes it`);
      targets.set(key, changed);
    }
    for (const { url: hostUrl } of hosts) {
      for (const [key, target] of targets) {
        await until(`${step}: ${key} leads to ${target}`, async () => {
          const { status, headers } = await ask('GET', `${hostUrl}/${key}`, { key: null });
          if (status === 302) clicks++;
          return headers.get('location') === target;
        });
      }
      await until(`${step}: all clicks are counted`, async () => {
        const { body } = await ask('GET', `${hostUrl}/api/v1/stats?reason=all`);
        return (body as { totals: { clicks: number } }).totals.clicks === clicks;
      });
    }
  }

  await workOn('both-of-now');
  await replace(1, next);
  await workOn('one-of-each');
  // As a deploy starts it: it may not migrate, and has nothing to.
  await replace(0, now, { MIGRATE: 'check' });
  await workOn('the-older-one-started-anew');
  await replace(0, next);
  await workOn('both-of-next');
  await replace(1, now, { MIGRATE: 'check' });
  await workOn('one-is-back');
  await replace(0, now, { MIGRATE: 'check' });
  await workOn('both-are-back');
}

if (requireCommand(t, 'initdb')) await t.test('releases go together over an expanded schema, and back', main);
