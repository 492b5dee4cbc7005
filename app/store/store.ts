/** What a host keeps, however it keeps it: SQLite alone, or a database that it shares with others. */

import type { ApiKeyStore } from '../auth/api-key.ts';
import type { ClickTiers } from '../clicks/click-tiers.ts';
import type { PurgedLinks } from '../clicks/purger.ts';
import type { QuotaBook } from '../fleet/shared-quotas.ts';
import type { DrainStore } from '../health/drain.ts';
import type { FleetFigures } from '../health/fleet-metrics.ts';
import type { LookupFigures } from '../health/lookup-metric.ts';
import type { SliStore } from '../health/sli.ts';
import type { LinkStore } from '../links/link-store.ts';
import type { NearKeyStore } from '../links/near-keys.ts';
import type { ClickLog } from '../stats/click-log.ts';
import type { StatsStore } from '../stats/stats-store.ts';
import type { UnknownKeyStore } from '../stats/unknown-keys.ts';
import type { ClicksDb } from './sqlite/open-clicks-db.ts';

export interface Store {
  readonly links: LinkStore;
  /** How links were found so far. */
  lookups(): LookupFigures;
  readonly apiKeys: ApiKeyStore;
  readonly drain: DrainStore;
  readonly clicks: Pick<ClicksDb, 'journal' | 'salts' | 'segment'>;
  readonly stats: StatsStore;
  readonly tiers: ClickTiers;
  readonly purgedLinks: PurgedLinks;
  readonly clickLog: ClickLog;
  readonly sli: SliStore;
  readonly unknownKeys: UnknownKeyStore;
  readonly nearKeys: NearKeyStore;
  /** What hosts do that share a database; null: this is the only one. */
  readonly sharing: Sharing | null;
  /** Reads as a redirect does; throws when redirects fail, or when the schema has become too new for this code. */
  probe(): Promise<void>;
  close(): Promise<void>;
}

export interface Sharing {
  readonly quotas: QuotaBook;
  /** Brings the clicks of this host to the others. */
  ship(): Promise<void>;
  /** The same as far as a second takes it, for whoever asks for figures. */
  bringIn(): Promise<void>;
  readonly figures: FleetFigures;
  /** Why the shared database cannot be asked at the moment; null: it can. */
  failure(): unknown;
  /** Why the copy of the links on this host cannot be read or written; null: it can. */
  copyFailure(): unknown;
  /** To be done again and again beside the service. */
  readonly work: readonly SharedWork[];
}

export interface SharedWork {
  readonly name: string;
  readonly everyMs: number;
  readonly work: (isOver: () => boolean) => Promise<void>;
}
