/**
 * Readiness: should this process get traffic? `ready` and `degraded` say yes, `draining` and `unready` no. Degraded means
 * that known links redirect and something else does not work; the reasons say what.
 */

import { statfs } from 'node:fs/promises';
import type { Clock } from '../kernel/clock.ts';
import type { DrainStore } from './drain.ts';

export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'draining' | 'unready';
  /** One word each, such as `disk`. */
  readonly reasons: readonly string[];
}

export interface ReadinessFacts {
  /** Whether links.db answers a real query with a schema that this code can read. */
  readonly isStoreReadable: boolean;
  /** A drain row on the host, or this process's own wait before it stops. */
  readonly isDraining: boolean;
  /** Free space where the data lies; null when it could not be asked. */
  readonly freeBytes: number | null;
}

/** Below this a write may fail any moment: a full group commit with its WAL needs some MB. */
export const FREE_BYTES_MIN = 64 * 1024 * 1024;

export function decideReadiness({ isStoreReadable, isDraining, freeBytes }: ReadinessFacts): Readiness {
  if (!isStoreReadable) return { status: 'unready', reasons: ['links_db'] };
  if (isDraining) return { status: 'draining', reasons: ['drain'] };
  if (freeBytes === null || freeBytes < FREE_BYTES_MIN) return { status: 'degraded', reasons: ['disk'] };
  return { status: 'ready', reasons: [] };
}

export interface ReadinessDeps {
  readonly clock: Clock;
  readonly drain: DrainStore;
  /** Runs a real query; throws when it cannot be answered. */
  readonly probeStore: () => Promise<void>;
  readonly dataDir: string;
  readonly isStopping: () => boolean;
}

export async function readReadiness(deps: ReadinessDeps): Promise<Readiness> {
  const store = await readStore(deps);
  return decideReadiness({
    isStoreReadable: store !== null,
    isDraining: deps.isStopping() || (store?.drainUntilMs ?? 0) > deps.clock.nowMs(),
    freeBytes: await readFreeBytes(deps.dataDir),
  });
}

/** Null: it cannot be read, which is the answer and not an accident. */
async function readStore({
  probeStore,
  drain,
}: ReadinessDeps): Promise<{ drainUntilMs: number | null } | null> {
  try {
    await probeStore();
    return { drainUntilMs: await drain.readDrainUntilMs() };
  } catch {
    return null;
  }
}

/** A folder that cannot be asked is one that cannot be written to; readiness reports it as `disk`. */
async function readFreeBytes(path: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}
