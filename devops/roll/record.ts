/** What a deploy needs to know of itself to go on from its journal, wherever it was ended. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Entry, readJournal } from '../audit/journal.ts';
import type { HostFacts } from '../host/inspect.ts';
import type { ReleaseIdentity } from '../release/build-release.ts';
import type { Plan } from './plan.ts';

export interface DeployRecord {
  readonly deploy: string;
  /** Who began it. */
  readonly holder: string;
  readonly nonce: string;
  /** Of the environment. */
  readonly environment: string;
  readonly release: ReleaseIdentity;
  readonly isRollback: boolean;
  readonly ranInStaging: boolean;
  readonly isRollbackWaived: boolean;
  readonly plan: Plan;
  /** Whether the link of the smoke test could be followed from here, through whatever stands in front. */
  readonly wasFollowed: boolean;
  /** Each host before it. */
  readonly before: Readonly<Record<string, HostBefore>>;
}

export interface HostBefore {
  /** Null: nothing ran there. */
  readonly current: string | null;
  /** How often its service was started; null: PM2 does not know it. */
  readonly restarts: number | null;
  /** Whether it answered; absent in journals of older deploys. */
  readonly isAnswering?: boolean;
  /** What was amiss. */
  readonly reasons: readonly string[];
}

export function noteBefore(facts: ReadonlyMap<string, HostFacts>): Record<string, HostBefore> {
  return Object.fromEntries(
    [...facts].map(([name, { current, service, readyz }]) => [
      name,
      {
        current,
        restarts: service?.restarts ?? null,
        isAnswering: readyz !== null,
        reasons: readyz?.reasons ?? [],
      },
    ]),
  );
}

/** A deploy that was begun and not ended. */
export interface Interrupted {
  readonly path: string;
  readonly record: DeployRecord;
  readonly entries: readonly Entry[];
}

/**
 * The latest deploy of an environment, if it was not ended; one that ended before it had switched anything is not counted. Null: there is
 * none to go on with. Throws JournalError.
 */
export function findInterrupted(folder: string): Interrupted | null {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.jsonl')) : [];
  // Named by when they began.
  for (const name of names.sort().reverse()) {
    const path = join(folder, name);
    const entries = readJournal(readFileSync(path, 'utf8'), path);
    const record = recordOf(entries);
    const isEnded = entries.some(({ type }) => type === 'ended');
    if (record !== null && !isEnded) return { path, record, entries };
    if (entries.some(({ type, step }) => type === 'intent' && step?.startsWith('switch '))) return null;
  }
  return null;
}

/** Null: it was ended before it had begun anything. */
export function recordOf(entries: readonly Entry[]): DeployRecord | null {
  const begun = entries.find(({ type }) => type === 'begun');
  const record = begun?.detail as DeployRecord | undefined;
  return record?.plan === undefined ? null : record;
}

/** The steps that were begun and of which nobody knows what became. */
export function listOpenSteps(entries: readonly Entry[]): string[] {
  const open = new Set<string>();
  for (const { type, step } of entries) {
    if (step === undefined) continue;
    if (type === 'intent') open.add(step);
    else open.delete(step);
  }
  return [...open];
}

/** What steps leave for later ones. */
export interface Evidence {
  /** Of a switch: the process that was replaced. */
  readonly oldPid?: number | null;
  readonly restarts?: number | null;
  /** Of a rehearsal. */
  readonly isMigrationNeeded?: boolean;
}

/** Of a step that was done; nothing where it was not. */
export function readEvidence(entries: readonly Entry[], step: string): Evidence {
  const done = entries.findLast((entry) => entry.type === 'done' && entry.step === step);
  return ((done?.detail ?? {}) as { evidence?: Evidence }).evidence ?? {};
}
