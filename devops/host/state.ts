/** What became of releases on this host: which were committed, in order, and which are bad. */

import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { readJson, writeAtomically } from './files.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';

export interface HostState {
  /** The last one that is not bad is what an undo goes back to. */
  readonly committed: readonly Committed[];
  /** Releases that failed once they were switched to, with the reason. */
  readonly bad: Readonly<Record<string, string>>;
}

export interface Committed {
  readonly release: string;
  readonly deploy: string;
  readonly atMs: number;
}

const COMMITTED_KEPT = 50;

/** Throws HostError `corrupt`. */
export function readState(layout: Layout): HostState {
  const state = { committed: [], bad: {}, ...readJson<HostState>(layout.state) };
  const isWhole =
    Array.isArray(state.committed) &&
    state.committed.every((one) => typeof one?.release === 'string') &&
    typeof state.bad === 'object' &&
    state.bad !== null;
  if (!isWhole)
    throw new HostError('corrupt', `${layout.state} is damaged: put it right, or remove it to begin anew.`);
  return state;
}

export function noteCommitted(layout: Layout, committed: Committed): void {
  const state = readState(layout);
  const { [committed.release]: _, ...bad } = state.bad;
  // The last time before stays: should this one be taken back, it was still committed once.
  const before = state.committed.findLast(({ release }) => release === committed.release);
  const others = state.committed.filter((one) => one === before || one.release !== committed.release);
  write(layout, { committed: [...others, committed].slice(-COMMITTED_KEPT), bad });
}

/** What a deploy committed that was taken back. What runs again is not bad, which a rollback may have called it. */
export function noteWithdrawn(
  layout: Layout,
  { deploy, to }: { readonly deploy: string; readonly to: string | null },
): void {
  const { committed, bad } = readState(layout);
  write(layout, {
    committed: committed.filter((one) => one.deploy !== deploy),
    bad: Object.fromEntries(Object.entries(bad).filter(([release]) => release !== to)),
  });
}

export function noteBad(layout: Layout, release: string, reason: string): void {
  const state = readState(layout);
  write(layout, { ...state, bad: { ...state.bad, [release]: reason } });
}

/** In the order in which they were committed; one may stand there twice. */
export function listGood({ committed, bad }: HostState): string[] {
  return committed.map(({ release }) => release).filter((release) => bad[release] === undefined);
}

/** Null: nothing was ever switched to. */
export function readCurrent(layout: Layout): string | null {
  try {
    return basename(readlinkSync(layout.current));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code !== 'EINVAL') throw error;
    throw new HostError(
      'corrupt',
      `${layout.current} is no link to a release, and no deploy made it: move it away.`,
    );
  }
}

function write(layout: Layout, state: HostState): void {
  writeAtomically(layout.state, `${JSON.stringify(state)}\n`);
}
