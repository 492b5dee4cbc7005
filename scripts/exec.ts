// `npm run exec -- --env staging -- df -h`: a command on each host, and what it says. Ends with the highest exit code.
import { parseArgs } from 'node:util';
import { ManifestError } from '../devops/manifest/read-manifest.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { TransportError } from '../devops/transport/transport.ts';
import { withEnvironment } from './environment.ts';

const UNREACHABLE_EXIT = 255;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { env: { type: 'string' }, except: { type: 'string', multiple: true, default: [] } },
});
await withEnvironment(values.env, values, async ({ clients }) => {
  if (positionals.length === 0) throw new ManifestError('npm run exec -- --env NAME -- COMMAND');
  return Math.max(...(await Promise.all([...clients.values()].map(run))));
});

async function run(client: HostClient): Promise<number> {
  try {
    const { code, stdout, stderr } = await client.exec(positionals);
    for (const line of stdout.trimEnd().split('\n')) console.log(`${client.name}  ${line}`);
    if (stderr.trim() !== '') console.error(stderr.trimEnd().replaceAll(/^/gm, `${client.name}  `));
    return code;
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    console.error(error.message);
    return UNREACHABLE_EXIT;
  }
}
