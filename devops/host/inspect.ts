/** The facts of a host, as they are now. Changes nothing, also not where there is nothing yet. */

import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { dirname } from 'node:path';
import { readManagementPort } from './environment.ts';
import type { Layout } from './layout.ts';
import { isHeld, type Lease, readLease } from './lease.ts';
import { readService, type ServiceProcess } from './pm2.ts';
import { type Readyz, readReadyz } from './probe.ts';
import { type HostState, readCurrent, readState } from './state.ts';

export interface HostFacts {
  readonly nowMs: number;
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  /** Null: not a system with glibc. */
  readonly glibc: string | null;
  readonly freeBytes: number;
  /** Of the last minute, for each processor: 1 is busy. */
  readonly load: number;
  readonly current: string | null;
  readonly layers: readonly string[];
  readonly releases: readonly string[];
  readonly state: HostState;
  readonly lease: Lease | null;
  readonly service: ServiceProcess | null;
  readonly readyz: Readyz | null;
}

export async function inspect(layout: Layout): Promise<HostFacts> {
  const lease = readLease(layout);
  const { glibcVersionRuntime: glibc = null } = (
    process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  ).header;
  const disk = statfsSync(existing(layout.root));
  const isInstalled = existsSync(layout.current);
  return {
    nowMs: Date.now(),
    node: process.version,
    platform: process.platform,
    arch: process.arch,
    glibc,
    freeBytes: disk.bavail * disk.bsize,
    load: (loadavg()[0] as number) / availableParallelism(),
    current: readCurrent(layout),
    layers: list(layout.layers),
    releases: list(layout.releases),
    state: readState(layout),
    lease: isHeld(lease, Date.now()) ? lease : null,
    service: isInstalled ? await readService(layout) : null,
    readyz: isInstalled ? await readReadyz(readManagementPort(layout)) : null,
  };
}

/** The nearest folder above that is there. */
function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path));
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('.')) : [];
}
