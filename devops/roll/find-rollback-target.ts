/** Where a rollback goes: the last release that every host committed, other than what runs, and that none calls bad. */

import type { HostFacts } from '../host/inspect.ts';

export class RollbackError extends Error {
  override name = 'RollbackError';
}

type Facts = Pick<HostFacts, 'current' | 'state' | 'releases'>;

/** Throws RollbackError where there is none. */
export function findRollbackTarget(hosts: readonly Facts[]): string {
  const [first, ...others] = hosts;
  const candidates =
    first === undefined ? [] : [...first.state.committed].reverse().map(({ release }) => release);
  const target = candidates.find(
    (release) =>
      hosts.some(({ current }) => current !== release) &&
      [first as Facts, ...others].every((host) => isGood(host, release)),
  );
  if (target === undefined) {
    throw new RollbackError(
      'There is no release to go back to: none but the current one was committed on every host and is still there.',
    );
  }
  return target;
}

function isGood({ state, releases }: Facts, release: string): boolean {
  const isCommitted = state.committed.some((one) => one.release === release);
  return isCommitted && releases.includes(release) && state.bad[release] === undefined;
}
