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
  /** Whether redirects are answered: by links.db, or by a copy, or by the database that hosts share. */
  readonly isStoreReadable: boolean;
  /** A drain row on the host, or this process's own wait before it stops. */
  readonly isDraining: boolean;
  /** Whether clicks are stored; if not they wait in memory. */
  readonly areClicksStored: boolean;
  /** Whether the database that hosts share answers; without it known links redirect, and nothing can be changed. */
  readonly isSharedReachable: boolean;
  /** Whether the copy of the links of a database that hosts share can be read and written; what it does not know is asked there. */
  readonly isCopyWell: boolean;
  /** Free space where the data lies; null when it could not be asked. */
  readonly freeBytes: number | null;
}

/** Below this a write may fail any moment: a full group commit with its WAL needs some MB. */
export const FREE_BYTES_MIN = 64 * 1024 * 1024;

export function decideReadiness(facts: ReadinessFacts): Readiness {
  const { isStoreReadable, isDraining, areClicksStored, isSharedReachable, isCopyWell, freeBytes } = facts;
  if (!isStoreReadable) return { status: 'unready', reasons: [isCopyWell ? 'links_db' : 'copy'] };
  if (isDraining) return { status: 'draining', reasons: ['drain'] };
  const reasons = [
    ...(areClicksStored ? [] : ['clicks_db']),
    ...(isCopyWell ? [] : ['copy']),
    ...(isSharedReachable ? [] : ['database']),
    ...(freeBytes === null || freeBytes < FREE_BYTES_MIN ? ['disk'] : []),
  ];
  return { status: reasons.length === 0 ? 'ready' : 'degraded', reasons };
}

export interface ReadinessDeps {
  readonly clock: Clock;
  readonly drain: DrainStore;
  /** Runs a real query; throws when it cannot be answered. */
  readonly probeStore: () => Promise<void>;
  readonly dataDir: string;
  /** Why clicks cannot be stored at the moment; null: they are. */
  readonly readClickFailure: () => unknown;
  /** Why the database that hosts share does not answer; null: it does, or there is none. */
  readonly readSharedFailure: () => unknown;
  /** Why the copy of shared links cannot be read or written; null: it can, or there is none. */
  readonly readCopyFailure: () => unknown;
  /** This process alone drains, before it stops. */
  readonly isDraining: () => boolean;
  /** Told of each change once, with what is behind it where something is. */
  readonly onChange: (readiness: Readiness, cause: unknown) => void;
}

export function createReadiness(deps: ReadinessDeps): () => Promise<Readiness> {
  let told = '';

  return async () => {
    const store = await readStore(deps);
    const disk = await readFreeBytes(deps.dataDir);
    const clickFailure = deps.readClickFailure();
    const sharedFailure = deps.readSharedFailure();
    const copyFailure = deps.readCopyFailure();
    const readiness = decideReadiness({
      isStoreReadable: store.error === null,
      isDraining: deps.isDraining() || (store.drainUntilMs ?? 0) > deps.clock.nowMs(),
      areClicksStored: clickFailure === null,
      isSharedReachable: sharedFailure === null,
      isCopyWell: copyFailure === null,
      freeBytes: disk.freeBytes,
    });
    const reasons = readiness.reasons.join(' ');
    if (reasons !== told) {
      told = reasons;
      deps.onChange(readiness, store.error ?? clickFailure ?? copyFailure ?? sharedFailure ?? disk.error);
    }
    return readiness;
  };
}

/** That it cannot be read is an answer and not an accident. */
async function readStore({ probeStore, drain }: ReadinessDeps) {
  try {
    await probeStore();
    return { drainUntilMs: await drain.readDrainUntilMs(), error: null };
  } catch (error) {
    return { drainUntilMs: null, error };
  }
}

/** A folder that cannot be asked is one that cannot be written to. */
async function readFreeBytes(path: string) {
  try {
    const { bavail, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, error: null };
  } catch (error) {
    return { freeBytes: null, error };
  }
}
