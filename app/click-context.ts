/**
 * The half of the composition root that clicks need: from a redirect that is decided to its click stored, counted, kept and
 * in the end thrown away. The work beside redirects begins here, and ends with `close`.
 */

import type { Logger } from 'pino';
import { createAgentReader } from './clicks/agent.ts';
import { createBookkeeper } from './clicks/bookkeeper.ts';
import { type Classifier, createClassifier } from './clicks/classifier.ts';
import { type ClickCounts, createClickCounts } from './clicks/click-counts.ts';
import { type ClickWriter, createClickWriter } from './clicks/click-writer.ts';
import { openCountries } from './clicks/country.ts';
import { createFolder, type Folder } from './clicks/folder.ts';
import type { Ledger, LedgerFigures } from './clicks/ledger.ts';
import { createNight, type Retention } from './clicks/night.ts';
import { createOwnCheck } from './clicks/own-requests.ts';
import { createPurger } from './clicks/purger.ts';
import { createReclassifier, type Reclassifier } from './clicks/reclassifier.ts';
import { createRepeatMemory } from './clicks/repeats.ts';
import { createVisitorHash } from './clicks/visitor.ts';
import type { Config } from './config.ts';
import { createSharedQuotas } from './fleet/shared-quotas.ts';
import { createClickWaits, registerLedger, registerUncounted } from './health/click-metrics.ts';
import { registerDrift } from './health/drift-metric.ts';
import type { Metrics } from './health/metrics.ts';
import { startSchedule } from './jobs/schedule.ts';
import { startBackground } from './kernel/background.ts';
import type { Clock } from './kernel/clock.ts';
import { within } from './kernel/deadline.ts';
import { createPacer } from './kernel/portions.ts';
import type { Store } from './store/store.ts';

export interface ClickContext {
  readonly classify: Classifier;
  readonly writer: Pick<ClickWriter, 'record' | 'failure'>;
  readonly folder: Pick<Folder, 'catchUp'>;
  readonly counts: ClickCounts;
  readonly reclassifier: Reclassifier;
  readonly retention: Retention;
  /** What became of the clicks of this process. */
  readFigures(): ClickFigures;
  /** Stores what waits, and ends what is under way. Nothing may be recorded any more. */
  close(): Promise<void>;
}

export interface ClickFigures extends LedgerFigures {
  /** The longest that a click waited for another process. */
  readonly waited_ms_max: number;
}

export interface ClickContextDeps {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly ledger: Ledger;
}

/** How long a stop waits for a disk that fails, before the clicks that wait for it are given up. */
const STORE_CLICKS_MAX_MS = 3000;
/** How long a scrape of /metrics waits for a shared database. */
const SCRAPE_MS = 1000;
/** Every redirect waits behind a transaction on the own disk, and behind none in a database that answers others meanwhile. */
const OWN_DISK = { restPerWork: 4, transactionMs: 2 };
const SHARED_DATABASE = { restPerWork: 1, transactionMs: 100 };
/** How old figures of clicks are that nobody asks for. */
const FOLD_EVERY_MS = 1000;
/** How long the others wait for a host that does something for all and is gone. */
const LEASE_MS = 30_000;
/** How soon the clicks of a purged link begin to go. */
const UPKEEP_EVERY_MS = 1000;

export function createClickContext(deps: ClickContextDeps): ClickContext {
  const { config, logger, clock, metrics, store, ledger } = deps;
  const { restPerWork, transactionMs } = store.sharing === null ? OWN_DISK : SHARED_DATABASE;
  const pacer = createPacer({ clock, readLoop: () => performance.eventLoopUtilization(), restPerWork });
  const folder = createFolder({
    tiers: store.tiers,
    clock,
    pacer,
    transactionMs,
    ...(store.sharing !== null && { bringIn: store.sharing.bringIn }),
  });
  const counts = createClickCounts({
    tiers: store.tiers,
    folder,
    onFailed: (err) => logger.warn({ err }, 'links are shown without their clicks'),
  });

  registerLedger(metrics.registry, ledger.read);
  registerUncounted(metrics.registry, {
    nowMs: clock.nowMs,
    findOldestWaitingMs: () =>
      within(store.tiers.findOldestWaitingMs(), { clock, ms: SCRAPE_MS, late: () => new Error('late') }),
  });
  const waits = createClickWaits(metrics.registry);
  const writer = createClickWriter({
    clock,
    random: Math.random,
    journal: store.clicks.journal,
    ledger,
    onCommitted(redirects, seconds) {
      metrics.clickCommitSize.observe(redirects);
      metrics.clickCommitDuration.observe(seconds);
    },
    onFailed: (err) => logger.error({ err }, 'clicks cannot be stored and wait in memory'),
    onRecovered: () => {
      logger.info('clicks are stored again');
      bookkeeper.recountSoon();
    },
    onDropped: (clicks) => logger.error({ clicks }, 'clicks were lost: they could not be stored in time'),
    onWaited: waits.observe,
  });

  /** What one host of a fleet does for all of them. */
  const forAll = (name: string, work: (isOver: () => boolean) => Promise<void>) =>
    store.sharing === null
      ? work
      : async (isOver: () => boolean) => {
          const lease = { name, holder: store.clicks.segment().name, nowMs: clock.nowMs(), forMs: LEASE_MS };
          if (await store.tiers.takeLease(lease)) await work(isOver);
        };

  const folding = startBackground({
    clock,
    everyMs: FOLD_EVERY_MS,
    work: forAll('fold', folder.foldAll),
    onFailed: (err) => logger.error({ err }, 'clicks are stored and cannot be counted'),
    onRecovered: () => logger.info('clicks are counted again'),
  });
  const retention = { clickDays: config.CLICK_RAW_DAYS, quarterDays: config.CLICK_QUARTER_DAYS };
  const bookkeeper = createBookkeeper({
    tiers: store.tiers,
    clock,
    readSegment: store.clicks.segment,
    readLedger: ledger.read,
    purge: forAll(
      'purge',
      createPurger({ purgedLinks: store.purgedLinks, tiers: store.tiers, folder, pacer, clock }),
    ),
    onRecounted: (recount) =>
      recount.drift === 0
        ? logger.info(recount, 'clicks were recounted')
        : logger.error(recount, 'clicks were recounted, and the books are wrong'),
  });
  registerDrift(metrics.registry, () => Math.max(bookkeeper.readDrift(), ledger.read().missing));
  const upkeep = startBackground({
    clock,
    everyMs: UPKEEP_EVERY_MS,
    work: bookkeeper.work,
    onFailed: (err) => logger.error({ err }, 'purged or lost clicks cannot be looked for'),
    onRecovered: () => logger.info('purged and lost clicks are looked for again'),
  });
  const reclassifier = createReclassifier({
    tiers: store.tiers,
    clock,
    pacer,
    holder: store.clicks.segment().name,
    readAgent: createAgentReader(),
    onFailed: (err) => logger.error({ err }, 'clicks cannot be reclassified'),
  });
  const night = createNight({
    tiers: store.tiers,
    clock,
    pacer,
    holder: store.clicks.segment().name,
    retention,
    recount: bookkeeper.recount,
  });
  const nights = startSchedule(
    [
      { name: 'forget visitors', at: '5 0 * * *', run: night.forgetVisitors },
      // Each hour, for hosts that do not run at night.
      { name: 'night', at: '17 2-23 * * *', run: night.run },
    ],
    /* c8 ignore next: node-cron asks the machine's clock, which a test cannot set. */
    { onFailed: (job, err) => logger.error({ job, err }, 'a job failed') },
  );
  const classify = createClassifier({
    readAgent: createAgentReader(),
    hashVisitor: createVisitorHash(store.clicks.salts),
    repeats: createRepeatMemory({ windowMs: config.CLICK_REPEAT_SECONDS * 1000 }),
    isOwn: createOwnCheck(config.SYNTHETIC_SECRET),
    findCountry: openCountries(),
    obeysPrivacySignals: config.CLICK_PRIVACY_SIGNALS,
  });

  const record =
    store.sharing === null
      ? writer.record
      : createSharedQuotas({
          book: store.sharing.quotas,
          record: writer.record,
          clock,
          onFailed: (err) => logger.warn({ err }, 'a limit of clicks cannot be asked for'),
        });

  return {
    classify,
    writer: { record, failure: writer.failure },
    folder,
    counts,
    reclassifier,
    retention,
    readFigures: () => ({ ...ledger.read(), waited_ms_max: waits.maxMs() }),
    async close() {
      await writer.close(STORE_CLICKS_MAX_MS);
      await Promise.all([folding.close(), upkeep.close(), nights.close(), reclassifier.close()]);
    },
  };
}
