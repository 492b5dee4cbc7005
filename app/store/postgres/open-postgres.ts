/**
 * The database that several hosts share. It may be away for a while, also at a start: then questions fail with AppError
 * unavailable, and the schema is looked at, and migrated where that is allowed, with the first question that gets through.
 */

import { Kysely, PostgresDialect, type PostgresPool, sql } from 'kysely';
import { type Breaker, createBreaker } from '../../kernel/breaker.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError, StartError } from '../../kernel/errors.ts';
import type { Dialect } from '../dialect.ts';
import { decideMigration, type MigrateMode, migrate, readSchemaState } from '../migrations/migrate.ts';
import { CLICK_SCHEMA, LINK_SCHEMA } from '../migrations/migrations.ts';
import { isBeingFilled } from '../move/move-log.ts';
import type { Tables } from '../tables.ts';
import { createPostgresDialect, isRefusal, translatePostgresError } from './dialect.ts';
import { createPool, describeDatabase } from './pool.ts';

export interface OpenPostgres {
  readonly db: Kysely<Tables>;
  /** The same for what redirects wait for: connections that nothing else has, and an answer within a second or none. */
  readonly quick: Kysely<Tables>;
  readonly breaker: Pick<Breaker, 'state'>;
  /** Why it could not be used at the start; null: it could. */
  readonly failure: unknown;
  /** For changes of links. */
  readonly links: Dialect;
  /** For changes of what is counted. */
  readonly clicks: Dialect;
  close(): Promise<void>;
}

export interface OpenPostgresOptions {
  readonly url: string;
  readonly migrate: MigrateMode;
  /** Told of connections that break while nobody uses them. */
  readonly onBroken: (error: Error) => void;
  readonly clock: Clock;
  /** For who fills it (store/move/): others are kept away as long as somebody does. */
  readonly mayBeFilled?: boolean;
  /** Left out: `away`. */
  readonly bears?: Bearing;
  /** Whether it is one that nobody has used yet. Left out: it may be. */
  readonly mayBeEmpty?: boolean;
}

/**
 * What a database may be at the start, beside well: `away` is one that does not answer, or not yet; `refusing` that, or one that lets this
 * host do nothing, as while a password is changed.
 */
export type Bearing = 'nothing' | 'away' | 'refusing';

/** Of each host. */
const POOL = { connectionsMax: 8, connectMs: 2000, answerMs: 12_000 };
const QUICK_POOL = { connectionsMax: 3, connectMs: 1000, answerMs: 1000 };
/** A migration may have to write each row of a table. */
const MIGRATION_MS = 10 * 60_000;
const MIGRATION_POOL = { connectionsMax: 1, connectMs: 2000, answerMs: MIGRATION_MS };
/** Questions in a row that went unanswered before nobody asks for a while. */
const FAILURES_MAX = 3;
const OPEN_MS = 1000;
/** How soon a host notices that the schema is not one for it any more. */
const LOOK_EVERY_MS = 5000;

/** Throws StartError with one sentence for the operator when the database answers and this code cannot work with it. */
export async function openPostgres({
  url,
  migrate: mode,
  onBroken,
  clock,
  mayBeFilled = false,
  bears = 'away',
  mayBeEmpty = true,
}: OpenPostgresOptions): Promise<OpenPostgres> {
  const breaker = createBreaker({ clock, failuresMax: FAILURES_MAX, openMs: OPEN_MS });
  const pool = createPool({ url, ...POOL, onBroken, clock, breaker });
  const quickPool = createPool({ url, ...QUICK_POOL, onBroken, clock, breaker });
  const links = createPostgresDialect('links');
  const clicks = createPostgresDialect('clicks');
  const name = describeDatabase(url);
  const bare = toKysely(pool);
  const bringUp = async (): Promise<void> => {
    const slow = createPool({ url, ...MIGRATION_POOL, onBroken, clock, breaker });
    const patient = { statementMs: MIGRATION_MS };
    try {
      for (const [lock, schema] of [
        ['links', LINK_SCHEMA],
        ['clicks', CLICK_SCHEMA],
      ] as const) {
        await migrate(toKysely(slow), createPostgresDialect(lock, patient), { mode, schema, name });
      }
    } finally {
      await slow.end();
    }
  };
  const prepare = once(async () => {
    if (!mayBeFilled && (await isBeingFilled(bare, links))) {
      throw new StartError(
        `The database ${name} is being filled. Let \`npm run migrate:store\` end first, or empty it.`,
      );
    }
    if (!mayBeEmpty && (await readSchemaState(bare, links, LINK_SCHEMA.stateTable)) === null) {
      throw new StartError(
        `The database ${name} is empty, and the links of this host were moved to one that is not. Look at DATABASE_URL.`,
      );
    }
    await bringUp();
    await makeNumbers(bare, { isHost: !mayBeFilled });
  });
  let lookedAtMs = clock.monotonicMs();
  let misfit: unknown = null;
  /** Whether somebody has made something of the database that this release cannot work with; nobody waits for it. */
  const lookAgain = (): void => {
    if (clock.monotonicMs() - lookedAtMs < LOOK_EVERY_MS) return;
    lookedAtMs = clock.monotonicMs();
    findMisfit(bare, links, name).then(
      (found) => {
        misfit = found;
      },
      // It could not be asked, which whoever asks now finds out himself.
      () => undefined,
    );
  };
  const requireFitting = async (): Promise<void> => {
    try {
      await prepare();
    } catch (error) {
      throw error instanceof StartError ? unfit(error) : error;
    }
    lookAgain();
    if (misfit !== null) throw unfit(misfit);
  };
  const prepared = (of: PostgresPool): Kysely<Tables> =>
    toKysely({
      async connect() {
        await requireFitting();
        return of.connect();
      },
      end: of.end,
    });
  const close = async (): Promise<void> => {
    await Promise.all([pool.end(), quickPool.end()]);
  };
  let failure: unknown = null;
  try {
    await prepare();
  } catch (error) {
    failure = error;
    if (!isBorne(error, bears)) {
      await close();
      throw error instanceof StartError ? error : new StartError(explain(name, error), { cause: error });
    }
  }
  return { db: prepared(pool), quick: prepared(quickPool), breaker, failure, links, clicks, close };
}

function isBorne(error: unknown, bears: Bearing): boolean {
  if (bears === 'nothing' || !(translatePostgresError(error) instanceof AppError)) return false;
  return bears === 'refusing' || !isRefusal(error);
}

/** What is there is not written: the database may be a standby. */
async function makeNumbers(db: Kysely<Tables>, { isHost }: { readonly isHost: boolean }): Promise<void> {
  // Links and clicks began together: there is no change before which clicks are not known.
  const madeAt = db.selectFrom('click_state').select('value').where('name', '=', 'made_at_seq');
  if ((await madeAt.executeTakeFirst()) === undefined) {
    await db
      .insertInto('click_state')
      .values({ name: 'made_at_seq', value: 0 })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute();
  }
  // Who has a copy of it knows it by this. Who fills it is no host.
  const number = db.selectFrom('sequences').select('value').where('name', '=', 'database');
  if (!isHost || (await number.executeTakeFirst()) !== undefined) return;
  await db
    .insertInto('sequences')
    .values({ name: 'database', value: sql`floor(random() * ${sql.lit(Number.MAX_SAFE_INTEGER)})` })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
}

/** Null: this release can work with the schema. Tables that are gone are made by a start, since somebody may be restoring them now. */
async function findMisfit(db: Kysely<Tables>, dialect: Dialect, name: string): Promise<unknown> {
  for (const { stateTable, migrations } of [LINK_SCHEMA, CLICK_SCHEMA]) {
    const state = await readSchemaState(db, dialect, stateTable);
    try {
      decideMigration(state, migrations.length, { mode: 'check', name });
    } catch (error) {
      return error;
    }
  }
  return null;
}

function unfit(cause: unknown): AppError {
  return new AppError('unavailable', UNFIT, { cause, retryAfterSeconds: 5 });
}

const UNFIT = 'The database is not one that this release can work with. Known links still redirect.';

function toKysely(pool: PostgresPool): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}

/** One at a time until it has succeeded, and never again. */
function once(work: () => Promise<void>): () => Promise<void> {
  let working: Promise<void> | null = null;
  return () => {
    working ??= work().catch((error: unknown) => {
      working = null;
      throw error;
    });
    return working;
  };
}

const SENTENCES: Readonly<Record<string, string>> = {
  '28P01': 'refuses the password. Look at DATABASE_URL.',
  '28000': 'refuses the user. Look at DATABASE_URL.',
  '25006': 'is a standby. Look at DATABASE_URL.',
  '53300': 'has no connection left for this host. Raise its max_connections, or wait for others to end.',
  '55000': 'takes no connections now. Look at its ALLOW_CONNECTIONS.',
  '3D000': 'does not exist. Create it, or look at DATABASE_URL.',
  '42501': 'does not let this user make tables. Grant CREATE on the database and its schema.',
};

function explain(name: string, error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return `The database ${name} ${SENTENCES[String(code)] ?? 'cannot be used.'} (${String(message)})`;
}
