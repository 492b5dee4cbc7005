// What is counted of clicks is the same in both databases: the same clicks and the same work, in SQLite and in PostgreSQL.
import { deepStrictEqual } from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Kysely, sql } from 'kysely';
import t from 'tap';
import { CLICK_REASONS, type Click, type ClickReason } from '../../app/clicks/click.ts';
import type { ClickTiers } from '../../app/clicks/click-tiers.ts';
import { countVisitors } from '../../app/clicks/sketch.ts';
import { DAY_MS } from '../../app/clicks/visitor.ts';
import { systemClock } from '../../app/kernel/clock.ts';
import { createClickTierStore } from '../../app/store/click-tier-store.ts';
import { CLICK_SCHEMA } from '../../app/store/migrations/migrations.ts';
import { createClickInbox } from '../../app/store/postgres/click-inbox.ts';
import { openPostgres } from '../../app/store/postgres/open-postgres.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import { openDatabase } from '../../app/store/sqlite/open-database.ts';
import type { Tables } from '../../app/store/tables.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { propertyRuns } from '../support/property.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { openStore } from '../support/store.ts';

const DAY = 20_000;
const SEGMENT = 'a-process';
const AGENTS = ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'curl/8.7.1', ''];

/** Every figure with its words, and what else is counted. */
async function readAll(db: Kysely<Tables>): Promise<unknown> {
  const { rows } = await sql<Record<string, unknown> & { sketch: Uint8Array | null }>`
    select link_id, click_figures.kind, at, case when text is null then word else 0 end as word, coalesce(text, '') as text, reason, clicks, sketch
    from click_figures left join words on words.id = word and words.kind = click_figures.kind
    order by 1, 2, 3, 5, 4, 6`.execute(db);
  const { rows: segments } = await sql`
    select folded_to, batch_to, stage, slices, folded, removed, is_over from segments`.execute(db);
  const { rows: clicks } = await sql`
    select clicks.id, link_id, at_ms, reason, visitor, text from clicks left join words on words.id = agent order by 1`.execute(
    db,
  );
  const figures = rows.map(({ sketch, ...row }) => ({ ...row, visitors: sketch && countVisitors(sketch) }));
  return { figures, segments, clicks };
}

const clickArbitrary = fc.record({
  linkId: fc.integer({ min: 1, max: 4 }),
  atMs: fc.integer({ min: 0, max: 10 * 24 * 4 }).map((quarter) => DAY * DAY_MS + quarter * 15 * 60_000),
  reason: fc.constantFrom(...CLICK_REASONS),
  visitor: fc.option(fc.integer({ min: 0, max: 9 }).map((number) => number * 2 ** 40)),
  agent: fc.option(fc.constantFrom(...AGENTS)),
  referrer: fc.option(fc.constantFrom('a.example', 'b.example')),
  language: fc.option(fc.constantFrom('de', 'en')),
  country: fc.option(fc.constantFrom('DE', 'AT')),
});

type Step = (tiers: ClickTiers) => Promise<unknown>;

const day = fc.integer({ min: DAY, max: DAY + 12 });
const stepArbitrary: fc.Arbitrary<{ clicks: Click[] } | { step: Step }> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ clicks: fc.array(clickArbitrary, { minLength: 1, maxLength: 60 }) }) },
  {
    weight: 4,
    arbitrary: fc
      .integer({ min: 1, max: 30 })
      .map((slice) => ({ step: (tiers: ClickTiers) => tiers.fold(slice) })),
  },
  {
    weight: 1,
    arbitrary: day.map((at) => ({ step: ({ removeOldClicks }: ClickTiers) => removeOldClicks(at * DAY_MS) })),
  },
  {
    weight: 1,
    arbitrary: day.map((at) => ({ step: ({ rollUpQuarters }: ClickTiers) => rollUpQuarters(at) })),
  },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 1, max: 4 })
      .map((linkId) => ({ step: ({ purgeLink }: ClickTiers) => purgeLink(linkId) })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<ClickReason>('human', 'bot').map((reason) => ({
      step: async (tiers: ClickTiers) => {
        const [segment] = await tiers.listSegments();
        if (segment === undefined) return null;
        const judge = (agent: string, before: ClickReason) => (agent === 'curl/8.7.1' ? reason : before);
        const { read, last, changes } = await tiers.reclassify({
          segment: segment.id,
          after: 0,
          isDryRun: false,
          judge,
        });
        return { read, last, changes: changes.map(({ from, to }) => [from, to]) };
      },
    })),
  },
  {
    weight: 1,
    arbitrary: fc.constant({ step: ({ forgetSalts }: ClickTiers) => forgetSalts(DAY) }),
  },
  {
    weight: 1,
    arbitrary: fc.constant({
      step: async (tiers: ClickTiers) => ({
        ...(await tiers.compareTiers()),
        oldest: await tiers.findOldestWaitingMs(),
        uses: [...(await tiers.readUse([1, 2, 3]))].sort(([a], [b]) => a - b),
        ...(await tiers.readStorage()),
        bytes: 0,
      }),
    }),
  },
);

async function main(server: PostgresServer): Promise<void> {
  await t.test('the same clicks and the same work come to the same figures', async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 5, maxLength: 25 }), async (steps) => {
        const dataDir = makeFolder(t);
        const store = await openStore({ dataDir });
        const dialect = createSqliteDialect({ clock: systemClock, random: Math.random });
        const path = join(dataDir, 'clicks.db');
        const file = await openDatabase({
          path,
          schema: CLICK_SCHEMA,
          migrate: 'auto',
          dialect,
          synchronous: 'NORMAL',
        });
        const url = await server.createDatabase(t);
        const {
          db,
          clicks: clickDialect,
          close,
        } = await openPostgres({ url, migrate: 'auto', onBroken: () => undefined, clock: systemClock });
        const shared = createClickTierStore({
          open: () => ({ reader: db, writer: db }),
          dialect: clickDialect,
          clock: systemClock,
        });
        const inbox = createClickInbox(db, clickDialect);
        const database = await inbox.readDatabase();
        try {
          let sequence = 0;
          await inbox.merge({ segment: SEGMENT, startedAtMs: 0, clicks: [] }, database);
          for (const given of steps) {
            if ('clicks' in given) {
              store.clicks.journal.append(given.clicks.map((click) => ({ click, quota: null })));
              const clicks = given.clicks.map((click) => ({ ...click, sequence: ++sequence }));
              const batch = { segment: SEGMENT, startedAtMs: 0, clicks };
              // Also a second time, as after an answer that got lost.
              for (let time = 0; time < 2; time++) await inbox.merge(batch, database);
            } else deepStrictEqual(plain(await given.step(shared)), plain(await given.step(store.tiers)));
            deepStrictEqual(await readAll(db), await readAll(file.reader));
          }
        } finally {
          await close();
          file.close();
          await store.close();
        }
      }),
      propertyRuns(t, { runs: 8, proveRuns: 300 }),
    );
  });
}

/** How long something took is no part of it. */
function plain(answer: unknown): unknown {
  return answer !== null && typeof answer === 'object' ? { ...answer, longestMs: 0 } : answer;
}

if (requireCommand(t, 'initdb')) await main(await startPostgres(t));
