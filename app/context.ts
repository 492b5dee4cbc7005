/**
 * The only composition root: from a configuration to a service that is wired but does not listen yet. An override is
 * consulted before what it replaces is built, so that nothing is ever wired to the wrong one.
 */

import { randomBytes as cryptoRandomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { ensureAdminKey } from './auth/admin-key.ts';
import { createAuthenticator } from './auth/authenticator.ts';
import { type ClickFigures, createClickContext } from './click-context.ts';
import { createLedger } from './clicks/ledger.ts';
import type { Config } from './config.ts';
import { createLongReads } from './guard/long-reads.ts';
import { createRateLimit } from './guard/rate-limit.ts';
import { registerConnections } from './health/connection-metric.ts';
import { registerFleet } from './health/fleet-metrics.ts';
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
import { createReclassifyRoutes } from './http/routes/reclassify.ts';
import { createShortenRoute } from './http/routes/shorten.ts';
import { createStatsRoutes } from './http/routes/stats.ts';
import { createUnknownKeysRoute } from './http/routes/unknown-keys.ts';
import { createSecurityHeaders, pickForRedirects } from './http/security-headers.ts';
import { type Background, startBackground } from './kernel/background.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import { within } from './kernel/deadline.ts';
import { AppError } from './kernel/errors.ts';
import type { LineSink } from './kernel/line-batch.ts';
import { createKeyStrategy } from './links/keys/create-key-strategy.ts';
import { createLinkSchemas } from './links/link-schema.ts';
import { createLinkService } from './links/link-service.ts';
import { createLinkViews } from './links/link-view.ts';
import { createSelfCheck } from './links/target.ts';
import { createStatsReader } from './stats/read-stats.ts';
import { createUnknownKeys } from './stats/unknown-keys.ts';
import { openStore } from './store/open-store.ts';
import type { Store } from './store/store.ts';

export interface ContextDeps {
  readonly logger: Logger;
  /** Where the lines of requests go, beside the logger's. */
  readonly lines: LineSink;
  readonly pid: number;
  /** A drain of this process alone, before it stops. */
  readonly isDraining: () => boolean;
  /** Whether databases are only brought to this release, and nobody is served. */
  readonly isMigration: boolean;
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

/** How long a stop waits for a shared database to take the last clicks. */
const SHIP_LAST_MS = 2000;
/** How soon a database that is back learns of the admin key. */
const ADMIN_KEY_EVERY_MS = 1000;
/** What a process that is killed may lose of its service level, beside the minute that is not over. */
const SLI_EVERY_MS = 5000;
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
    await openStore({
      databaseUrl: config.DATABASE_URL,
      needsDatabase: deps.isMigration,
      staleMaxMs: config.STALE_MAX_SECONDS === 0 ? Number.POSITIVE_INFINITY : config.STALE_MAX_SECONDS * 1000,
      readLoop: () => performance.eventLoopUtilization(),
      onTrouble: (trouble, err) => logger.warn({ err }, trouble),
      dataDir: config.DATA_DIR,
      migrate: config.MIGRATE,
      clock,
      random: Math.random,
      randomBytes,
      clickDurability: config.CLICK_DURABILITY,
      onClicksSetAside: (path, err) => logger.error({ path, err }, 'clicks.db was damaged and is set aside'),
      onClicksMissing({ ofProcess, all }) {
        ledger.miss(ofProcess);
        logger.error(
          { clicks: all, ofProcess },
          'a new clicks.db was made; what was in the one before is not counted any more',
        );
      },
      onLinksOlder: () =>
        logger.warn(
          'links.db is older than clicks.db; ids that clicks are stored for are not given out again',
        ),
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
  const longReads = createLongReads();
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
  const clicks = createClickContext({ config, logger, clock, metrics, store, ledger });
  const views = createLinkViews({ baseUrl, readUse: clicks.counts.readUse });
  const schemas = createLinkSchemas({ isSelf: createSelfCheck(baseUrl) });
  const isAnonymousAllowed = config.ANONYMOUS_SHORTEN;

  registerLookups(metrics.registry, store.lookups);
  if (store.sharing !== null) registerFleet(metrics.registry, store.sharing.figures);
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
  const sharing = (store.sharing?.work ?? []).map(({ name, everyMs, work }) =>
    startBackground({
      clock,
      everyMs,
      work,
      onFailed: (err) => logger.warn({ err }, `the database cannot be asked to ${name}`),
      onRecovered: () => logger.info(`the database can be asked again to ${name}`),
    }),
  );
  const readStats = createStatsReader({ store: store.stats, clock, catchUp: clicks.folder.catchUp });

  const readReadiness = createReadiness({
    clock,
    readClickFailure: clicks.writer.failure,
    readSharedFailure: () => store.sharing?.failure() ?? null,
    readCopyFailure: () => store.sharing?.copyFailure() ?? null,
    drain: store.drain,
    probeStore: store.probe,
    dataDir: config.DATA_DIR,
    isDraining: deps.isDraining,
    onChange: ({ status, reasons }, err) =>
      logger[status === 'ready' ? 'info' : 'warn']({ status, reasons, err }, 'readiness changed'),
  });
  const probes = createProbeRoutes({ identity, readReadiness });
  const linkDeps = {
    links,
    store: store.links,
    schemas,
    views,
    limitCreation,
    catchUpClicks: clicks.counts.catchUp,
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
    ...createClickRoutes({ links, clickLog: store.clickLog, clock, catchUp: clicks.folder.catchUp }),
    createClickStorageRoute({ tiers: store.tiers, retention: clicks.retention }),
    ...createReclassifyRoutes({ reclassifier: clicks.reclassifier }),
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
  const answerError = createErrorAnswerer({ clock, logger, securityHeaders });
  const readClientAddress = createClientAddressReader(config.TRUST_PROXY);
  const lane = createRedirectLane({
    lookup: store.links.lookup,
    clock,
    classify: clicks.classify,
    record: clicks.writer.record,
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
            longReads,
            corsOrigins: isPublic ? config.CORS_ORIGINS : [],
          }),
        }),
        onClientError: createClientErrorHandler({ logger, metrics, securityHeaders }),
        clientOf: createConnectionClientReader(config.TRUST_PROXY),
        onConnectionDropped: () => metrics.connectionsDropped.inc(),
      },
      overrides.limits,
    );

  /** Whoever ends may not come back. */
  async function shipLast(): Promise<void> {
    if (store.sharing === null) return;
    const late = () => new Error('The shared database did not take them in time.');
    await within(store.sharing.ship(), { clock, ms: SHIP_LAST_MS, late }).catch((err: unknown) =>
      logger.warn({ err }, 'the last clicks stay on this host until it starts again'),
    );
  }

  const openApi = createOpenApiRoute(publicRoutes, { baseUrl, version: config.RELEASE_ID });
  /** Until it is done. */
  function keepTrying(work: () => Promise<void>): Background {
    const trying = startBackground({
      clock,
      everyMs: ADMIN_KEY_EVERY_MS,
      async work() {
        await work();
        logger.info('the admin API key is in place');
        void trying.close();
      },
      onFailed: (err) => logger.info({ err }, 'the admin API key cannot be looked at yet'),
      onRecovered: () => undefined,
    });
    return trying;
  }
  let keyWork: Background | null = null;
  const publicListener = listen([...publicRoutes, openApi], true);
  registerConnections(metrics.registry, publicListener.countConnections);

  return {
    store,
    metrics,
    publicListener,
    managementListener: listen(managementRoutes, false),
    readReadiness,
    readClicks: clicks.readFigures,
    async close() {
      await keyWork?.close();
      await clicks.close();
      await Promise.all([sliFlushing.close(), ...sharing.map(({ close }) => close())]);
      await sli.flush({ all: true }).catch((err) => logger.warn({ err }, 'the last minute was not noted'));
      await unknownKeys.flush().catch((err) => logger.warn({ err }, 'the last unknown keys were not noted'));
      await shipLast();
      await store.close();
    },
    async ensureAdminKey(handOver) {
      try {
        await ensureAdminKey(adminKeyDeps, { given: config.ADMIN_API_KEY, handOver });
      } catch (err) {
        // Redirects of known links need no database.
        if (store.sharing === null || !(err instanceof AppError)) throw err;
        logger.warn(
          { err },
          'the admin API key could not be looked at; it will be once the database answers',
        );
        keyWork = keepTrying(() => ensureAdminKey(adminKeyDeps, { given: config.ADMIN_API_KEY, handOver }));
      }
    },
  };
}
