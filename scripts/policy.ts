// `npm run policy -- --env staging`: what the policies would say of a deploy now, host by host. Asks, and changes nothing.
import { parseArgs } from 'node:util';
import { type Decision, type Facts, loadPolicies } from '../devops/policy/decide.ts';
import { type BeginFacts, factsToBegin } from '../devops/policy/facts.ts';
import { identify } from '../devops/release/build-release.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { survey } from '../devops/roll/survey.ts';
import { POLICIES } from './deploy-places.ts';
import { knownVariables, PERSON, withEnvironment } from './environment.ts';

const { values } = parseArgs({
  options: {
    env: { type: 'string' },
    release: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
await withEnvironment(values.env, {}, async ({ name: environment, manifest, clients }) => {
  const policies = await loadPolicies(POLICIES);
  const facts = await survey(clients, { base: null, onNote: () => undefined });
  const variables = knownVariables(manifest);
  const decisions = await Promise.all(
    [...facts].map(async ([name, host]) => {
      const takenPorts = await (clients.get(name) as HostClient).call<number[]>('ports', { variables });
      const given = { environment, manifest, hosts: clients.size, host, takenPorts };
      return policies.decide({ gate: 'begin', person: PERSON, host: name, facts: factsNow(given) });
    }),
  );
  show(policies.names, decisions);
  return decisions.every(({ isAllowed }) => isAllowed) ? EXIT.done : EXIT.refused;
});

/** Of the release that was named, or of what runs. */
function factsNow(
  given: Pick<BeginFacts, 'environment' | 'manifest' | 'hosts' | 'host' | 'takenPorts'>,
): Facts {
  const id = values.release ?? given.host.current ?? 'nothing';
  return factsToBegin({
    ...given,
    release: identify(id, process),
    isRollback: false,
    ranInStaging: false,
    variables: knownVariables(given.manifest),
    nowMs: Date.now(),
  });
}

function show(names: readonly string[], decisions: readonly Decision[]): void {
  if (values.json) {
    console.log(JSON.stringify(decisions, null, 2));
    return;
  }
  console.log(`${names.length} policies: ${names.join(', ')}\n`);
  for (const { host, isAllowed, refusals } of decisions) {
    console.log(`${isAllowed ? '✓' : '✗'} ${host}  ${isAllowed ? 'a deploy may begin' : 'refused'}`);
    for (const { policy, reason } of refusals) console.log(`    ${policy}: ${reason}`);
  }
}
