// `npm run policy -- --env staging`: what the policies would say of a deploy now, host by host. Asks, and changes nothing.
import type { HostFacts } from '../devops/host/inspect.ts';
import { ManifestError } from '../devops/manifest/read-manifest.ts';
import { NOT_ASKED } from '../devops/output/reporter.ts';
import { type Decision, loadPolicies } from '../devops/policy/decide.ts';
import { factsToBegin } from '../devops/policy/facts.ts';
import { findBuilt, identify, type ReleaseIdentity } from '../devops/release/build-release.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { survey } from '../devops/roll/survey.ts';
import { readArguments } from './arguments.ts';
import { CACHE, POLICIES } from './deploy-places.ts';
import { knownVariables, PERSON, ranIn, withEnvironment } from './environment.ts';

const given = readArguments('npm run policy -- --env NAME [--release ID] [--json]', {
  env: { type: 'string' },
  release: { type: 'string' },
  json: { type: 'boolean', default: false },
});
const { values } = given;
await withEnvironment(given.environment(), {}, async ({ name: environment, manifest, clients, tool }) => {
  const policies = await loadPolicies(POLICIES);
  const facts = await survey(clients, { base: null, onNote: () => undefined });
  const variables = knownVariables(manifest);
  const wanted = values.release === undefined ? null : findWanted(values.release, facts);
  const releaseOf = (host: HostFacts): ReleaseIdentity => wanted ?? identify(host.current ?? 'nothing', host);
  const staged = new Map<string, boolean>();
  for (const release of new Set([...facts.values()].map((host) => releaseOf(host).id)))
    staged.set(release, await ranIn(manifest.deploy.staged_in, { release, tool }));
  const decisions = await Promise.all(
    [...facts].map(async ([name, host]) => {
      const release = releaseOf(host);
      const takenPorts = await (clients.get(name) as HostClient).call<number[]>('ports', { variables });
      const begin = factsToBegin({
        environment,
        manifest,
        release,
        isRollback: false,
        ranInStaging: staged.get(release.id) === true,
        hosts: clients.size,
        variables,
        host,
        takenPorts,
        nowMs: Date.now(),
      });
      return policies.decide({ gate: 'begin', person: PERSON, host: name, facts: begin });
    }),
  );
  const unknown = [...clients.keys()].filter((name) => !facts.has(name));
  show({ names: policies.names, decisions, unknown });
  return decisions.every(({ isAllowed }) => isAllowed) ? EXIT.done : EXIT.refused;
});

/** Of what was built here, or is on a host. Throws ManifestError where it is nowhere. */
function findWanted(id: string, facts: ReadonlyMap<string, HostFacts>): ReleaseIdentity {
  const built = findBuilt(CACHE, id);
  if (built !== null) return built;
  const host = [...facts.values()].find(({ releases }) => releases.includes(id));
  if (host === undefined) throw new ManifestError(`There is no release ${id}, neither here nor on a host.`);
  return identify(id, host);
}

interface Shown {
  readonly names: readonly string[];
  readonly decisions: readonly Decision[];
  /** Hosts without anything that could be asked. */
  readonly unknown: readonly string[];
}

function show({ names, decisions, unknown }: Shown): void {
  if (values.json) {
    console.log(JSON.stringify(decisions, null, 2));
    return;
  }
  console.log(`${names.length} policies: ${names.join(', ')}\n`);
  for (const { host, isAllowed, refusals } of decisions) {
    console.log(`${isAllowed ? '✓' : '✗'} ${host}  ${isAllowed ? 'a deploy may begin' : 'refused'}`);
    for (const { policy, reason } of refusals) console.log(`    ${policy}: ${reason}`);
  }
  for (const host of unknown) console.log(`? ${host}  ${NOT_ASKED}`);
}
