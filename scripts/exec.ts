// `npm run exec -- --env staging -- df -h`: a command on each host, and what it says. Ends with the highest exit code.
import { parseArgs } from 'node:util';
import { connect } from '../devops/inventory/connect.ts';
import { ManifestError, readManifest } from '../devops/manifest/read-manifest.ts';
import { buildTool } from '../devops/release/tool.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { TransportError } from '../devops/transport/transport.ts';
import { CACHE, ENVIRONMENTS, HOST_PROGRAM } from './deploy-places.ts';

const UNREACHABLE_EXIT = 255;
const USAGE_EXIT = 64;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { env: { type: 'string' }, except: { type: 'string', multiple: true, default: [] } },
});
try {
  if (positionals.length === 0) throw new ManifestError('npm run exec -- --env NAME -- COMMAND');
  const manifest = readManifest(ENVIRONMENTS, values.env ?? '');
  const tool = await buildTool(CACHE, HOST_PROGRAM);
  const { clients, close } = connect({ manifest, except: values.except, tool, variables: process.env });
  try {
    const codes = await Promise.all([...clients.values()].map(run));
    process.exitCode = Math.max(...codes);
  } finally {
    await close();
  }
} catch (error) {
  if (!(error instanceof ManifestError)) throw error;
  console.error(error.message);
  process.exitCode = USAGE_EXIT;
}

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
