/**
 * What a host of a fleet keeps: links, keys and everything that is counted in the shared database; on its own disk a copy of
 * the links (copy-….db), and its clicks on their way there (clicks.db). Redirects of known links need nothing but its own disk.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { DAY_MS } from '../clicks/visitor.ts';
import { createFiller } from '../fleet/filler.ts';
import { createFollower } from '../fleet/follower.ts';
import { keepOwnChanges } from '../fleet/own-changes.ts';
import { createSaltKeeper } from '../fleet/salt-keeper.ts';
import { createSharedLookup } from '../fleet/shared-links.ts';
import { createShipper } from '../fleet/shipper.ts';
import { keepUnwritten } from '../fleet/unwritten.ts';
import { within } from '../kernel/deadline.ts';
import { StartError } from '../kernel/errors.ts';
import { createPacer, inPortions } from '../kernel/portions.ts';
import { createApiKeyStore } from './api-key-store.ts';
import { createClickLog } from './click-log.ts';
import { forgetSalts } from './click-retention.ts';
import { createClickStats } from './click-stats.ts';
import { createClickTierStore } from './click-tier-store.ts';
import { createGroupCommit } from './group-commit.ts';
import { createLinkStore } from './link-store.ts';
import { isMoved } from './move/freeze.ts';
import { createNearKeyStore } from './near-keys.ts';
import { createChangeFeed } from './postgres/change-feed.ts';
import { createClickInbox } from './postgres/click-inbox.ts';
import { type Bearing, openPostgres } from './postgres/open-postgres.ts';
import { describeDatabase } from './postgres/pool.ts';
import { createQuotaBook } from './postgres/quota-book.ts';
import { createSharedSalts } from './postgres/shared-salts.ts';
import { createPurgedLinks } from './purged-links.ts';
import { createReading } from './reading.ts';
import { createSliStore } from './sli-store.ts';
import { createClickOutbox } from './sqlite/click-outbox.ts';
import { makeSalt } from './sqlite/click-salts.ts';
import { copyPathOf, removeOldCopies } from './sqlite/copy-files.ts';
import { createSqliteDialect } from './sqlite/dialect.ts';
import { openClicksDb, reportingTo } from './sqlite/open-clicks-db.ts';
import { openCopyDb } from './sqlite/open-copy-db.ts';
import type { OpenStoreOptions } from './sqlite/open-store.ts';
import type { Store } from './store.ts';
import { createUnknownKeyStore } from './unknown-key-store.ts';

export interface OpenFleetStoreOptions extends OpenStoreOptions {
  readonly databaseUrl: string;
  /** How old the copy may be that redirects are answered from. */
  readonly staleMaxMs: number;
  /** Whether it is no use without the database, as for a migration. */
  readonly needsDatabase: boolean;
  /** For how long the event loop was at work, and for how long it was not. */
  readonly readLoop: () => { readonly active: number; readonly idle: number };
  /** Told of trouble with the shared database, or with the copy, that costs nobody an answer. */
  readonly onTrouble: (trouble: string, error: unknown) => void;
}

function describeStranded(clicks: number): string {
  return `${clicks} clicks on this host belong to another database and are kept; start the host with the DATABASE_URL of before to bring them there, or remove clicks.db to give them up`;
}

const OTHER_DATABASE = 'the database is another one; the copy of links begins anew';
const OTHER_HISTORY =
  'the database was started again, or another server took over; all links are compared with what it has now';
/** The copy is called stale after this: three questions went unanswered. */
const UNREACHABLE_AFTER_MS = 5000;

/** Who has a copy can redirect, whatever the database says. */
function bearingOf(copyPath: string): Bearing {
  return existsSync(copyPath) ? 'refusing' : 'away';
}

/** Throws StartError with one sentence for the operator. */
export async function openFleetStore(options: OpenFleetStoreOptions): Promise<Store> {
  const { dataDir, migrate, clock, random, randomBytes, databaseUrl, onTrouble } = options;
  const hasMoved = requireMoved(dataDir);
  const copyPath = copyPathOf(dataDir, databaseUrl);
  const local = createSqliteDialect({ clock, random });
  const shared = await openPostgres({
    url: databaseUrl,
    migrate,
    clock,
    bears: options.needsDatabase ? 'nothing' : bearingOf(copyPath),
    mayBeEmpty: !hasMoved,
    onBroken: (error) => onTrouble('a connection to the database broke', error),
  });
  if (shared.failure !== null) {
    const name = describeDatabase(databaseUrl);
    onTrouble(`the database ${name} cannot be used yet; it is tried again`, shared.failure);
  }
  const { db, quick, links: linkDialect, clicks: clickDialect } = shared;
  /** Whatever becomes of it is seen by its age, or tried again. */
  const withinASecond = (work: Promise<void>): Promise<void> =>
    within(work, { clock, ms: 1000, late: () => new Error('late') }).catch(() => undefined);
  const closers: (() => void | Promise<void>)[] = [shared.close];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.toReversed()) await close();
  };
  try {
    let readSharedFailure: () => unknown = () => shared.failure;
    const copyDb = await openCopyDb({
      path: copyPath,
      dialect: local,
      clock,
      random,
      canBeFilled: () => readSharedFailure() === null,
      onRemoved: (error) => onTrouble('the copy of links could not be read; it is made anew', error),
    });
    closers.push(copyDb.close);
    removeOldCopies(dataDir, copyPath, clock.nowMs());
    const clicksDb = await openClicksDb({
      ...options,
      dialect: local,
      durability: options.clickDurability,
      makesSalts: false,
      readSeq: () => 0,
      onSetAside: options.onClicksSetAside,
      onMissing: options.onClicksMissing,
    });
    closers.push(clicksDb.close);
    // Until the database says otherwise, the links that are followed here are those of the copy.
    const place = await copyDb.copy.readPlace().catch(() => null);
    if (place !== null) await clicksDb.beOf(place.of.database).catch(clicksDb.report);

    const onCopyFailed = (error: unknown): void =>
      onTrouble('a link could not be written to the copy', error);
    const feed = createChangeFeed(quick, linkDialect);
    const unwritten = keepUnwritten({ copy: copyDb.copy, onFailed: onCopyFailed });
    const { copy } = unwritten;
    const follower = createFollower({
      clock,
      copy,
      feed,
      onOtherHistory: (isOtherDatabase) => onTrouble(isOtherDatabase ? OTHER_DATABASE : OTHER_HISTORY, null),
    });
    readSharedFailure = () =>
      follower.silentMs() > UNREACHABLE_AFTER_MS ? new Error('The shared database does not answer.') : null;
    const readCopyFailure = (): unknown => copyDb.failure() ?? unwritten.failure();
    const pacer = createPacer({ clock, readLoop: options.readLoop });
    const fill = createFiller({
      copy: copyDb.copy,
      // What is followed most takes longer than redirects may wait.
      source: createChangeFeed(db, linkDialect),
      pacer,
      onUnordered: (error) => onTrouble('what is followed most cannot be copied first', error),
    });
    const localDialect = reportingTo(clicksDb, local);
    const outbox = createClickOutbox({
      open: clicksDb.database,
      dialect: localDialect,
      segment: clicksDb.segment,
      beOf: clicksDb.beOf,
    });
    const { ship, shipNow } = createShipper({
      outbox,
      inbox: createClickInbox(db, clickDialect),
      // Half of a batch's time is waiting for the database.
      pacer: createPacer({ clock, readLoop: options.readLoop, restPerWork: 1 }),
      onStranded: (clicks) => onTrouble(describeStranded(clicks), null),
    });
    const { agree } = createSharedSalts(quick, clickDialect);
    const keepSalts = createSaltKeeper({
      clock,
      readPlace: clicksDb.database,
      agree: (day) => agree(day, makeSalt(randomBytes)),
      keep: async (day, salt) => {
        const { writer } = clicksDb.database();
        await local.transaction(writer, async (connection) => {
          await connection
            .insertInto('salts')
            .values({ day, salt })
            .onConflict((conflict) => conflict.column('day').doUpdateSet({ salt }))
            .execute();
          await forgetSalts(connection, Math.floor(clock.nowMs() / DAY_MS));
        });
        await local.eraseDeleted(writer);
      },
    });
    const writes = createGroupCommit(db, {
      clock,
      dialect: linkDialect,
      requireInPlace: () => undefined,
      onCommitted: () => undefined,
    });
    closers.push(writes.close);
    const tiers = createClickTierStore({
      open: () => ({ reader: db, writer: db }),
      dialect: clickDialect,
      clock,
    });
    const reader = db;
    // From the first second on, where the database answers.
    await Promise.all([withinASecond(follower.catchUp()), withinASecond(keepSalts())]);
    return {
      links: keepOwnChanges({
        links: createLinkStore({
          reader,
          writes,
          dialect: linkDialect,
          lookup: createSharedLookup({
            clock,
            // What was asked for can be asked for again, and takes no place from what cannot.
            copy: { lookup: copy.lookup, write: copyDb.copy.write },
            feed,
            follower,
            staleMaxMs: options.staleMaxMs,
            onCopyFailed,
          }),
        }),
        copy,
        readHistory: follower.history,
        catchUp: () => withinASecond(follower.catchUp()),
        onCopyFailed,
      }),
      lookups: copyDb.figures,
      apiKeys: createApiKeyStore({ reader, writes, dialect: linkDialect }),
      drain: copyDb.drain,
      clicks: clicksDb,
      stats: createClickStats({
        links: reader,
        readingLinks: createReading(linkDialect),
        clicks: () => db,
        dialect: clickDialect,
      }),
      clickLog: createClickLog({ clicks: () => db, dialect: clickDialect }),
      tiers: {
        ...tiers,
        // What this host has stored is held against what is there.
        async listSegments() {
          await shipNow();
          return tiers.listSegments();
        },
      },
      purgedLinks: createPurgedLinks({ reader, dialect: linkDialect }),
      sli: createSliStore({ open: clicksDb.database, dialect: localDialect }),
      unknownKeys: createUnknownKeyStore({ reader: () => db, writer: () => db, dialect: clickDialect }),
      nearKeys: createNearKeyStore({ reader, dialect: linkDialect }),
      sharing: {
        ship: shipNow,
        bringIn: () => withinASecond(shipNow()),
        figures: {
          readState: shared.breaker.state,
          readAgeMs: follower.ageMs,
          countUnshipped: outbox.countWaiting,
        },
        quotas: createQuotaBook(quick, clickDialect),
        failure: readSharedFailure,
        copyFailure: readCopyFailure,
        work: [
          { name: 'follow the changes of links', everyMs: 1000, work: follower.catchUp },
          { name: 'look after the copy of links', everyMs: 1000, work: copyDb.repair },
          { name: 'write what the copy of links has not', everyMs: 1000, work: unwritten.write },
          { name: 'ship clicks', everyMs: 500, work: ship },
          { name: 'fill the copy of links', everyMs: 5000, work: fill },
          {
            name: 'forget clicks that were moved',
            everyMs: 5000,
            work: (isOver) => inPortions(outbox.sweep, { pacer, isOver }),
          },
          { name: 'share the salts of visitors', everyMs: 5000, work: keepSalts },
        ],
      },
      async probe() {
        try {
          copyDb.probe();
        } catch (error) {
          // What the copy does not answer the database does.
          if (readSharedFailure() !== null) throw error;
        }
      },
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/**
 * Clicks of links that only this host knows would be counted for those that have the same ids in the database. True: it had some, and
 * they were moved.
 */
function requireMoved(dataDir: string): boolean {
  const path = join(dataDir, 'links.db');
  if (!existsSync(path)) return false;
  const links = new Database(path, { readonly: true });
  try {
    if (!hasLinks(links)) return false;
    if (isMoved(links)) return true;
  } finally {
    links.close();
  }
  throw new StartError(
    `${path} has links that the database of DATABASE_URL does not know. Move them with \`npm run migrate:store\`, or give this host another DATA_DIR.`,
  );
}

function hasLinks(links: Database.Database): boolean {
  const hasTable = links.prepare("select 1 from sqlite_schema where name = 'links'").get() !== undefined;
  return hasTable && links.prepare('select 1 from links limit 1').get() !== undefined;
}
