// Where a rollback goes, by what each host has committed.
import t from 'tap';
import { findRollbackTarget, type RollbackFacts } from '../../../devops/roll/find-rollback-target.ts';

/** The last one committed runs. */
function host(
  committed: readonly string[],
  { bad = [], gone = [] }: { bad?: string[]; gone?: string[] } = {},
) {
  const facts: RollbackFacts = {
    current: committed.at(-1) ?? null,
    releases: committed.filter((release) => !gone.includes(release)),
    state: {
      committed: committed.map((release) => ({ release, deploy: `deploy of ${release}`, atMs: 0 })),
      bad: Object.fromEntries(bad.map((release) => [release, 'why'])),
    },
  };
  return facts;
}

function fleet(...hosts: RollbackFacts[]): Map<string, RollbackFacts> {
  return new Map(hosts.map((facts, index) => [`h${index + 1}`, facts]));
}

t.test('it is the last one that every host committed, still has, and does not call bad', async (t) => {
  const all = ['a', 'b', 'c', 'd'];
  t.equal(findRollbackTarget(fleet(host(all), host(all)), null), 'c');
  t.equal(findRollbackTarget(fleet(host(all), host(['a', 'b', 'd'])), null), 'b');
  t.equal(findRollbackTarget(fleet(host(all), host(all, { bad: ['c'], gone: ['b'] })), null), 'a');
  t.throws(() => findRollbackTarget(fleet(host(['d']), host(all)), null), { message: /There is no release/ });
  t.throws(() => findRollbackTarget(new Map(), null), { message: /There is no release/ });
});

t.test('one that is wanted has to be such a one too', async (t) => {
  const hosts = fleet(host(['a', 'b', 'c']), host(['a', 'c'], { bad: ['x'] }));
  t.equal(findRollbackTarget(hosts, 'a'), 'a');
  t.throws(() => findRollbackTarget(hosts, 'b'), {
    message:
      'b cannot be gone back to: it was not committed on h2, is not there any more, or is marked bad. It is possible to c, a.',
  });
  t.throws(() => findRollbackTarget(hosts, 'bogus'), { message: /^bogus cannot .* on h1, h2, / });
});
