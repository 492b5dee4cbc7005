/** What policies are asked with (policies/facts.cedarschema), of what is known of a host, a release and an environment. */

import type { HostFacts } from '../host/inspect.ts';
import type { Manifest, Window } from '../manifest/schema.ts';
import type { ReleaseIdentity } from '../release/build-release.ts';
import { compareVersions } from '../release/needs.ts';
import type { Baked } from '../roll/verdict.ts';
import type { Facts } from './decide.ts';

export interface BeginFacts {
  readonly environment: string;
  readonly manifest: Manifest;
  readonly release: ReleaseIdentity;
  readonly isRollback: boolean;
  /** Whether every host of `deploy.staged_in` has committed the release. */
  readonly ranInStaging: boolean;
  readonly hosts: number;
  /** The variables of the service. */
  readonly variables: Readonly<Record<string, string>>;
  readonly host: HostFacts;
  /** Ports of the service that somebody else has there. */
  readonly takenPorts: readonly number[];
  /** Here, when the host was asked. */
  readonly nowMs: number;
}

const MB = 1024 * 1024;
const MILLION = 1_000_000;

export function factsToBegin(given: BeginFacts): Facts {
  const { environment, manifest, release, isRollback, ranInStaging, hosts, variables, host, nowMs } = given;
  const needed = release.needs?.glibc ?? null;
  const { free_mb_min, load_max, clock_skew_ms_max, staged_in, window } = manifest.deploy;
  return {
    environment: { name: environment, hosts, shares_database: variables.DATABASE_URL !== undefined },
    release: {
      id: release.id,
      is_dirty: release.isDirty,
      fits_platform: host.platform === release.platform && host.arch === release.arch,
      glibc: needed ?? '',
      fits_glibc: needed === null || (host.glibc !== null && compareVersions(needed, host.glibc) <= 0),
      is_bad: host.state.bad[release.id] !== undefined,
      has_staging: staged_in !== undefined,
      ran_in_staging: ranInStaging,
    },
    is_rollback: isRollback,
    host: {
      free_mb: Math.floor(host.freeBytes / MB),
      load_ppm: Math.round(host.load * MILLION),
      clock_skew_ms: Math.round(host.nowMs - nowMs),
      glibc: host.glibc ?? 'none',
      ports_taken: given.takenPorts.join(', '),
    },
    limits: { free_mb_min, load_ppm_max: Math.round(load_max * MILLION), clock_skew_ms_max },
    window: { is_open: window === undefined || isOpen(window, nowMs) },
    // Nobody keeps one yet.
    error_budget: { is_known: false, left_ppm: 0 },
  };
}

export interface SwitchFacts {
  readonly environment: string;
  readonly hosts: number;
  readonly variables: Readonly<Record<string, string>>;
  readonly rollback: { readonly isNeeded: boolean; readonly isReady: boolean; readonly isWaived: boolean };
}

export function factsToSwitch({ environment, hosts, variables, rollback }: SwitchFacts): Facts {
  return {
    environment: { name: environment, hosts, shares_database: variables.DATABASE_URL !== undefined },
    rollback: { is_needed: rollback.isNeeded, is_ready: rollback.isReady, is_waived: rollback.isWaived },
  };
}

export function factsToPromote({
  environment,
  hosts,
  variables,
  manifest,
  baked,
}: Pick<BeginFacts, 'environment' | 'hosts' | 'variables' | 'manifest'> & { readonly baked: Baked }): Facts {
  const { requests_min, error_rate_max, p99_ms } = manifest.deploy.bake;
  const { verdict, requests, synthetic, errors, redirects, slow, late } = baked;
  return {
    environment: { name: environment, hosts, shares_database: variables.DATABASE_URL !== undefined },
    bake: { verdict, requests, synthetic, errors, redirects, slow, late },
    limits: { requests_min, error_ppm_max: Math.round(error_rate_max * MILLION), p99_ms },
  };
}

/** By the clock of the zone, also across midnight: then the day is that of its beginning. */
export function isOpen({ days, from, to, zone }: Window, nowMs: number): boolean {
  const { day, time } = readClock(nowMs, zone);
  if (from <= to) return days.includes(day) && from <= time && time < to;
  if (time >= from) return days.includes(day);
  const { day: dayBefore } = readClock(nowMs - DAY_MS, zone);
  return time < to && days.includes(dayBefore);
}

const DAY_MS = 24 * 60 * 60 * 1000;

function readClock(atMs: number, zone: string): { day: Window['days'][number]; time: string } {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(new Date(atMs));
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  return {
    day: part('weekday').toLowerCase() as Window['days'][number],
    time: `${part('hour')}:${part('minute')}`,
  };
}
