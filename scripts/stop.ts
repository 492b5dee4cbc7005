// `npm run stop -- --env local`: ends the service and its PM2 on each host. Data and releases stay, and the next deploy starts it again.
import { randomBytes } from 'node:crypto';
import type { HostFacts } from '../devops/host/inspect.ts';
import { ManifestError } from '../devops/manifest/read-manifest.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { survey } from '../devops/roll/survey.ts';
import { readArguments } from './arguments.ts';
import { PERSON, withEnvironment } from './environment.ts';

const given = readArguments('npm run stop -- --env NAME [--except HOST] [--yes]', {
  env: { type: 'string' },
  except: { type: 'string', multiple: true, default: [] },
  yes: { type: 'boolean', default: false },
});
const { values } = given;
await withEnvironment(given.environment(), values, async ({ name, manifest, clients }) => {
  if (manifest.provider !== 'local' && !values.yes) {
    throw new ManifestError(
      `This takes ${name} away from everybody: ${[...clients.keys()].join(', ')}. Say --yes if that is meant.`,
    );
  }
  const facts = await survey(clients, { base: null, onNote: () => undefined });
  const deploy = `stop-${randomBytes(4).toString('hex')}`;
  await Promise.all(
    [...clients.values()].map((client) => {
      const before = facts.get(client.name);
      if (before !== undefined) return stop(client, { deploy, environment: name, before });
      return console.log(`${client.name}  nothing was deployed there`);
    }),
  );
  return EXIT.done;
});

async function stop(
  client: HostClient,
  {
    deploy,
    environment,
    before,
  }: { readonly deploy: string; readonly environment: string; readonly before: HostFacts },
): Promise<void> {
  if (before.service === null) {
    console.log(`${client.name}  nothing runs there`);
    return;
  }
  const lease = await client.call<{ epoch: number }>('acquire', { deploy, holder: PERSON, doing: 'stop' });
  client.claim({ deploy, epoch: lease.epoch });
  try {
    await client.call('stop', { isLasting: true });
    console.log(
      `${client.name}  ${before.current} is stopped. Again: npm run deploy -- --env ${environment} --release ${before.current}`,
    );
  } finally {
    await client.call('release');
  }
}
