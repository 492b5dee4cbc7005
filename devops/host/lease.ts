/**
 * Who may change this host: one deploy at a time, for as long as it says so. Each lease has a number (epoch) above all before it; what a
 * deploy does here is done under the host's lock, after its number was compared, so one that wakes up after its lease was over
 * changes nothing.
 *
 *   free ── acquire ──▶ held (epoch + 1) ── renew, every few seconds ──▶ held ── release, or nobody renewed ──▶ free
 */

import { mkdirSync } from 'node:fs';
import { readJson, writeAtomically } from './files.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { freeLock, takeLock } from './process-lock.ts';

export interface Lease {
  readonly deploy: string;
  readonly epoch: number;
  /** Who: a person and a machine. */
  readonly holder: string;
  readonly doing: string;
  readonly sinceMs: number;
  /** By the clock of this host. */
  readonly untilMs: number;
}

export interface Claim {
  readonly deploy: string;
  readonly epoch: number;
}

export const LEASE_MS = 60_000;
/** Until then it was held: nobody wants it any more. */
const RELEASED = 0;

export function readLease(layout: Layout): Lease | null {
  return readJson<Lease>(layout.lease);
}

export function isHeld(lease: Lease | null, nowMs: number): lease is Lease {
  // A lease for longer than leases last was taken while the clock was wrong.
  return lease !== null && lease.untilMs > nowMs && lease.untilMs <= nowMs + 2 * LEASE_MS;
}

/** The same deploy gets it again, with a new number. Throws HostError `lease_held`. */
export function acquireLease(layout: Layout, asked: Pick<Lease, 'deploy' | 'holder' | 'doing'>): Lease {
  return withLock(layout, () => {
    const nowMs = Date.now();
    const before = readLease(layout);
    if (isHeld(before, nowMs) && before.deploy !== asked.deploy) throw heldBy(before, nowMs);
    const lease = { ...asked, epoch: (before?.epoch ?? 0) + 1, sinceMs: nowMs, untilMs: nowMs + LEASE_MS };
    writeLease(layout, lease);
    return lease;
  });
}

/** Also one whose time was over, as long as nobody else took it: a host that was busy or asleep has not renewed meanwhile. */
export function renewLease(layout: Layout, claim: Claim): Lease {
  return withLock(layout, () => {
    const lease = requireLatest(layout, claim);
    if (lease.untilMs === RELEASED) throw lost(lease);
    const renewed = { ...lease, untilMs: Date.now() + LEASE_MS };
    writeLease(layout, renewed);
    return renewed;
  });
}

/** It stays as a number, so that the next one is above it. */
export function releaseLease(layout: Layout, claim: Claim): void {
  withLock(layout, () => writeLease(layout, { ...requireLatest(layout, claim), untilMs: RELEASED }));
}

/** Runs `work` while nobody else changes this host; the lease is renewed meanwhile. Throws HostError `lease_lost` where `claim` is not the latest. */
export async function underLease<T>(layout: Layout, claim: Claim, work: () => Promise<T>): Promise<T> {
  const unlock = lock(layout);
  const renew = (): void =>
    writeLease(layout, { ...requireLease(layout, claim), untilMs: Date.now() + LEASE_MS });
  let renewing: NodeJS.Timeout | undefined;
  let failure: unknown = null;
  try {
    renew();
    renewing = setInterval(() => {
      try {
        renew();
      } catch (error) {
        // What is under way is ended all the same: to stop in the middle would be worse.
        failure = error;
      }
    }, LEASE_MS / 6);
    const result = await work();
    if (failure !== null) throw failure;
    return result;
  } finally {
    clearInterval(renewing);
    unlock();
  }
}

/** Throws HostError `lease_lost` where `claim` is not the latest, or its time is over. */
export function requireLease(layout: Layout, claim: Claim): Lease {
  const lease = requireLatest(layout, claim);
  if (!isHeld(lease, Date.now())) throw lost(lease);
  return lease;
}

function requireLatest(layout: Layout, { deploy, epoch }: Claim): Lease {
  const lease = readLease(layout);
  if (lease === null || lease.deploy !== deploy || lease.epoch !== epoch) throw lost(lease);
  return lease;
}

function lost(lease: Lease | null): HostError {
  const now = lease === null ? 'nobody' : `${lease.deploy} of ${lease.holder}`;
  return new HostError('lease_lost', `This deploy does not hold the host any more; the last one was ${now}.`);
}

function heldBy(lease: Lease, nowMs: number): HostError {
  const seconds = (ms: number): number => Math.round(ms / 1000);
  return new HostError(
    'lease_held',
    `${lease.holder} is deploying (${lease.deploy}: ${lease.doing}) since ${seconds(nowMs - lease.sinceMs)} s. ` +
      `Should that be over, the host is free in ${seconds(lease.untilMs - nowMs)} s.`,
  );
}

function writeLease(layout: Layout, lease: Lease): void {
  writeAtomically(layout.lease, `${JSON.stringify(lease)}\n`);
}

function withLock<T>(layout: Layout, work: () => T): T {
  const unlock = lock(layout);
  try {
    return work();
  } finally {
    unlock();
  }
}

function lock(layout: Layout): () => void {
  mkdirSync(layout.root, { recursive: true });
  if (!takeLock(layout.lock))
    throw new HostError('busy', 'Another step is at work on this host. Try again in a moment.');
  return () => freeLock(layout.lock);
}
