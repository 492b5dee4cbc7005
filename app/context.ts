/**
 * The only composition root: from a configuration to a service that is wired but does not listen yet. An override is
 * consulted before what it replaces is built, so that nothing is ever wired to the wrong one.
 */

import { randomBytes as cryptoRandomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { ensureAdminKey } from './auth/admin-key.ts';
import { createAuthenticator } from './auth/authenticator.ts';
import { createAgentReader } from './clicks/agent.ts';
import { createBookkeeper } from './clicks/bookkeeper.ts';
import { createClassifier } from './clicks/classifier.ts';
import { createClickCounts } from './clicks/click-counts.ts';
import { createClickWriter } from './clicks/click-writer.ts';
import { openCountries } from './clicks/country.ts';
import { createFolder } from './clicks/folder.ts';
import { createLedger, type LedgerFigures } from './clicks/ledger.ts';
import { createNight } from './clicks/night.ts';
import { createOwnCheck } from './clicks/own-requests.ts';
import { createPurger } from './clicks/purger.ts';
import { createRepeatMemory } from './clicks/repeats.ts';
import { createVisitorHash } from './clicks/visitor.ts';
import type { Config } from './config.ts';
import { createRateLimit } from './guard/rate-limit.ts';
import { createClickWaits, registerLedger } from './health/click-metrics.ts';
import { registerDrift } from './health/drift-metric.ts';
import { registerLookups } from './health/lookup-metric.ts';
import { createMetrics, type Metrics } from './health/metrics.ts';
import { createReadiness, type Readiness } from './health/readiness.ts';
import { createSli } from './health/sli.ts';
import { createErrorAnswerer } from './http/answer-error.ts';
import { createApp } from './http/app.ts';
import {
  createClientAddressReader,
  createConnectionClientReader,
  createCountryReader,
} from './http/client-address.ts';
import { createClientErrorHandler } from './http/client-error.ts';
import { createCreationLimit } from './http/creation-limit.ts';
import { createEnvelope } from './http/envelope.ts';
import { createListener, type Listener, type ListenerLimits } from './http/listener.ts';
import { createOpenApiRoute } from './http/openapi.ts';
import { PAGE_STYLE } from './http/pages.ts';
import { createRedirectLane } from './http/redirect-lane.ts';
import { createRequestLog } from './http/request-log.ts';
import type { Route } from './http/route.ts';
import { createApiKeyRoutes } from './http/routes/api-keys.ts';
import { createClickStorageRoute } from './http/routes/click-storage.ts';
import { createClickRoutes } from './http/routes/clicks.ts';
import { createEventsRoute } from './http/routes/events.ts';
import { createHomeRoute } from './http/routes/home.ts';
import { createLinkBatchRoute } from './http/routes/link-batch.ts';
import { createLinkHistoryRoutes } from './http/routes/link-history.ts';
import { createLinkRoutes } from './http/routes/links.ts';
import { createManagementRoutes } from './http/routes/management.ts';
import { createProbeRoutes } from './http/routes/probes.ts';
import { createShortenRoute } from './http/routes/shorten.ts';
import { createStatsRoutes } from './http/routes/stats.ts';
import { createUnknownKeysRoute } from './http/routes/unknown-keys.ts';
import { createSecurityHeaders, pickForRedirects } from './http/security-headers.ts';
import { startSchedule } from './jobs/schedule.ts';
import { startBackground } from './kernel/background.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import type { LineSink } from './kernel/line-batch.ts';
import { createPacer } from './kernel/portions.ts';
import { createKeyStrategy } from './links/keys/create-key-strategy.ts';
import { createLinkSchemas } from './links/link-schema.ts';
import { createLinkService } from './links/link-service.ts';
import { createLinkViews } from './links/link-view.ts';
import { createSelfCheck } from './links/target.ts';
import { createStatsReader } from './stats/read-stats.ts';
import { createUnknownKeys } from './stats/unknown-keys.ts';
import { openSqliteStore, type Store } from './store/sqlite/open-store.ts';

export interface ContextDeps {
  readonly logger: Logger;
  /** Where the lines of requests go, beside the logger's. */
  readonly lines: LineSink;
  readonly pid: number;
  /** A drain of this process alone, before it stops. */
  readonly isDraining: () => boolean;
}

/** Time, randomness and injected failure, for tests. */
export interface Overrides {
  readonly clock?: Clock;
  readonly randomBytes?: (size: number) => Buffer;
  readonly wrapStore?: (store: Store) => Store;
  readonly limits?: Partial<ListenerLimits>;
}

export interface Context {
  readonly store: Store;
  readonly metrics: Metrics;
  readonly publicListener: Listener;
  readonly managementListener: Listener;
  readReadiness(): Promise<Readiness>;
  /** What became of the clicks of this process. */
  readClicks(): ClickFigures;
  /** On a first start makes an admin key and hands over its secret, the only time that it is seen. */
  ensureAdminKey(handOver: (secret: string) => void): Promise<void>;
  /** Stores what waits and closes everything that is open. Nothing may be asked any more. */
  close(): Promise<void>;
}

export interface ClickFigures extends LedgerFigures {
  /** The longest that a click waited for another process. */
  readonly waited_ms_max: number;
}

/** How long a stop waits for a disk that fails, before the clicks that wait for it are given up. */
const STORE_CLICKS_MAX_MS = 3000;
/** How old figures of clicks are that nobody asks for. */
const FOLD_EVERY_MS = 1000;
/** What a process that is killed may lose of its service level, beside the minute that is not over. */
const SLI_EVERY_MS = 5000;
/** How soon the clicks of a purged link begin to go. */
const UPKEEP_EVERY_MS = 1000;

/** Throws StartError with a sentence for the operator. */
export async function createContext(
  config: Config,
  deps: ContextDeps,
  overrides: Overrides = {},
): Promise<Context> {
  const { logger, pid } = deps;
  const clock = overrides.clock ?? systemClock;
  const randomBytes = overrides.randomBytes ?? cryptoRandomBytes;
  const wrapStore = overrides.wrapStore ?? ((store: Store) => store);

  const ledger = createLedger();
  const store = wrapStore(
    await openSqliteStore({
      dataDir: config.DATA_DIR,
      migrate: config.MIGRATE,
      clock,
      random: Math.random,
      randomBytes,
      clickDurability: config.CLICK_DURABILITY,
      onClicksSetAside: (path, err) => logger.error({ path, err }, 'clicks.db was damaged and is set aside'),
      onClicksMissing(clicks) {
        ledger.miss(clicks);
        logger.error({ clicks }, 'clicks that were stored went with the clicks.db that they were in');
      },
    }),
  );
  const adminKeyDeps = { store: store.apiKeys, clock, randomBytes };

  const baseUrl = config.BASE_URL;
  const metrics = createMetrics({ release: config.RELEASE_ID, pid });
  const identity = { release: config.RELEASE_ID, pid, nonce: config.DEPLOY_NONCE };
  const perMinute = (allowed: number) => createRateLimit({ clock }, { allowed, perMs: 60_000 });
  const authenticate = createAuthenticator({
    store: store.apiKeys,
    clock,
    failures: perMinute(config.AUTH_FAILURES_PER_MINUTE),
    onTouchFailed: (err) => logger.warn({ err }, 'the use of an API key was not noted'),
  });
  const limitCreation = createCreationLimit({
    anonymous: perMinute(config.ANONYMOUS_CREATES_PER_MINUTE),
    byKey: perMinute(config.KEY_CREATES_PER_MINUTE),
  });
  const keys = createKeyStrategy(config.KEY_STRATEGY, {
    keyLength: config.KEY_LENGTH,
    randomBytes,
    takeNumbers: store.links.takeNumbers,
  });
  const links = createLinkService({ store: store.links, keys, clock });
  const pacer = createPacer({ clock, readLoop: () => performance.eventLoopUtilization() });
  const folder = createFolder({ tiers: store.tiers, clock, pacer });
  const clickCounts = createClickCounts({
    tiers: store.tiers,
    folder,
    onFailed: (err) => logger.warn({ err }, 'links are shown without their clicks'),
  });
  const views = createLinkViews({ baseUrl, countClicks: clickCounts.countHumans });
  const schemas = createLinkSchemas({ isSelf: createSelfCheck(baseUrl) });
  const isAnonymousAllowed = config.ANONYMOUS_SHORTEN;

  registerLookups(metrics.registry, store.lookups);
  registerLedger(metrics.registry, ledger.read);
  const clickWaits = createClickWaits(metrics.registry);
  const clickWriter = createClickWriter({
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
    onWaited: clickWaits.observe,
  });

  const sli = createSli({ clock, store: store.sli });
  const sliFlushing = startBackground({
    clock,
    everyMs: SLI_EVERY_MS,
    work: () => sli.flush(),
    onFailed: (err) => logger.warn({ err }, 'the service level cannot be noted, and waits'),
    onRecovered: () => logger.info('the service level is noted again'),
  });

  const unknownKeys = createUnknownKeys({
    clock,
    store: store.unknownKeys,
    seed: randomBytes(4).readInt32BE(),
  });
  const readStats = createStatsReader({ store: store.stats, clock, catchUp: folder.catchUp });

  const readReadiness = createReadiness({
    clock,
    readClickFailure: clickWriter.failure,
    drain: store.drain,
    probeStore: store.probe,
    dataDir: config.DATA_DIR,
    isDraining: deps.isDraining,
    onChange: ({ status, reasons }, err) =>
      logger[status === 'ready' ? 'info' : 'warn']({ status, reasons, err }, 'readiness changed'),
  });
  const probes = createProbeRoutes({ identity, readReadiness });
  const folding = startBackground({
    clock,
    everyMs: FOLD_EVERY_MS,
    work: folder.foldAll,
    onFailed: (err) => logger.error({ err }, 'clicks are stored and cannot be counted'),
    onRecovered: () => logger.info('clicks are counted again'),
  });
  const retention = { clickDays: config.CLICK_RAW_DAYS, quarterDays: config.CLICK_QUARTER_DAYS };
  const bookkeeper = createBookkeeper({
    tiers: store.tiers,
    clock,
    readSegment: store.clicks.segment,
    readLedger: ledger.read,
    purge: createPurger({ purgedLinks: store.purgedLinks, tiers: store.tiers, folder, pacer }),
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
  const linkDeps = {
    links,
    store: store.links,
    schemas,
    views,
    limitCreation,
    catchUpClicks: clickCounts.catchUp,
  };
  const publicRoutes = [
    createHomeRoute({ baseUrl, isAnonymousAllowed }),
    createShortenRoute({ ...linkDeps, isAnonymousAllowed }),
    ...createLinkRoutes(linkDeps),
    createLinkBatchRoute(linkDeps),
    ...createLinkHistoryRoutes(linkDeps),
    createEventsRoute({ store: store.links, views }),
    ...createStatsRoutes({ links, readStats }),
    createUnknownKeysRoute({ unknownKeys, store: store.unknownKeys, nearKeys: store.nearKeys, clock }),
    ...createClickRoutes({ links, clickLog: store.clickLog, clock, catchUp: folder.catchUp }),
    createClickStorageRoute({ tiers: store.tiers, retention }),
    ...createApiKeyRoutes({ store: store.apiKeys, clock, randomBytes }),
    ...probes,
  ];
  const managementRoutes = [
    ...probes,
    ...createManagementRoutes({ registry: metrics.registry, drain: store.drain, clock, identity }),
  ];

  const securityHeaders = createSecurityHeaders({
    isHttps: baseUrl.startsWith('https:'),
    styles: [PAGE_STYLE],
  });
  const logRequest = logger.isLevelEnabled('info')
    ? createRequestLog({ sink: deps.lines, pid, release: config.RELEASE_ID })
    : null;
  const answerError = createErrorAnswerer({ logger, securityHeaders });
  const readClientAddress = createClientAddressReader(config.TRUST_PROXY);
  const lane = createRedirectLane({
    lookup: store.links.lookup,
    clock,
    classify: createClassifier({
      readAgent: createAgentReader(),
      hashVisitor: createVisitorHash(store.clicks.salts),
      repeats: createRepeatMemory({ windowMs: config.CLICK_REPEAT_SECONDS * 1000 }),
      isOwn: createOwnCheck(config.SYNTHETIC_SECRET),
      findCountry: openCountries(),
      obeysPrivacySignals: config.CLICK_PRIVACY_SIGNALS,
    }),
    record: clickWriter.record,
    noteUnknown: unknownKeys.note,
    readCountry: createCountryReader(config.TRUST_PROXY),
    securityHeaders: pickForRedirects(securityHeaders),
    answerError,
  });
  const listen = (routes: readonly Route[], isPublic: boolean): Listener =>
    createListener(
      {
        clock,
        ...createEnvelope({
          clock,
          logRequest,
          metrics,
          observeRedirect: sli.observe,
          securityHeaders,
          answerError,
          readClientAddress,
          lane: isPublic ? lane : null,
          app: createApp({
            routes,
            answerError,
            authenticate,
            corsOrigins: isPublic ? config.CORS_ORIGINS : [],
          }),
        }),
        onClientError: createClientErrorHandler({ logger, metrics, securityHeaders }),
        clientOf: createConnectionClientReader(config.TRUST_PROXY),
        onConnectionDropped: () => metrics.connectionsDropped.inc(),
      },
      overrides.limits,
    );

  const openApi = createOpenApiRoute(publicRoutes, { baseUrl, version: config.RELEASE_ID });
  return {
    store,
    metrics,
    publicListener: listen([...publicRoutes, openApi], true),
    managementListener: listen(managementRoutes, false),
    readReadiness,
    readClicks: () => ({ ...ledger.read(), waited_ms_max: clickWaits.maxMs() }),
    async close() {
      await clickWriter.close(STORE_CLICKS_MAX_MS);
      await Promise.all([folding.close(), upkeep.close(), nights.close()]);
      await sliFlushing.close();
      await sli.flush({ all: true }).catch((err) => logger.warn({ err }, 'the last minute was not noted'));
      await unknownKeys.flush().catch((err) => logger.warn({ err }, 'the last unknown keys were not noted'));
      await store.close();
    },
    ensureAdminKey: (handOver) => ensureAdminKey(adminKeyDeps, { given: config.ADMIN_API_KEY, handOver }),
  };
}
