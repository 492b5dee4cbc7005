// `npm run exec -- --env staging -- df -h`: a command on each host, and what it says. Ends with the highest exit code.
import type { HostClient } from '../devops/remote/host-client.ts';
import { TransportError } from '../devops/transport/transport.ts';
import { readArguments } from './arguments.ts';
import { withEnvironment } from './environment.ts';

const UNREACHABLE_EXIT = 255;

const given = readArguments(
  'npm run exec -- --env NAME [--except HOST] -- COMMAND',
  { env: { type: 'string' }, except: { type: 'string', multiple: true, default: [] } },
  { allowPositionals: true },
);
const { values, positionals } = given;
if (positionals.length === 0) given.fail('There is no command.');
await withEnvironment(given.environment(), values, async ({ clients }) =>
  Math.max(...(await Promise.all([...clients.values()].map(run)))),
);

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
