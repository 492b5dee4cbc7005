/** Where a rollback goes: the last release that every host committed, other than what runs, and that none calls bad. */

import type { HostFacts } from '../host/inspect.ts';
import { listGood } from '../host/state.ts';

export class RollbackError extends Error {
  override name = 'RollbackError';
}

export type RollbackFacts = Pick<HostFacts, 'current' | 'state' | 'releases'>;

/** `wanted`: by somebody; null: the last one that can be gone back to. Throws RollbackError where there is none, or not that one. */
export function findRollbackTarget(hosts: ReadonlyMap<string, RollbackFacts>, wanted: string | null): string {
  const all = [...hosts];
  const committed = all[0] === undefined ? [] : listGood(all[0][1].state);
  const targets = [...new Set(committed.reverse())].filter((release) =>
    all.every(([, host]) => isGood(host, release)),
  );
  const target = targets.find((release) =>
    wanted === null ? all.some(([, { current }]) => current !== release) : release === wanted,
  );
  if (target !== undefined) return target;
  if (wanted === null || all.length === 0) {
    throw new RollbackError(
      'There is no release to go back to: none but the current one was committed on every host and is still there.',
    );
  }
  const without = all.filter(([, host]) => !isGood(host, wanted)).map(([name]) => name);
  const known = targets.length === 0 ? 'to none' : `to ${targets.join(', ')}`;
  throw new RollbackError(
    `${wanted} cannot be gone back to: it was not committed on ${without.join(', ')}, is not there any more, or is marked bad. It is possible ${known}.`,
  );
}

function isGood({ state, releases }: RollbackFacts, release: string): boolean {
  return listGood(state).includes(release) && releases.includes(release);
}
