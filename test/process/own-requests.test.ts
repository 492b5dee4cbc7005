// The lines of the README that mark a test request as the operator's own, as they stand there.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import t from 'tap';
import { makeLinks, readLedger } from '../support/click-proof.ts';
import { requireCommand } from '../support/requirement.ts';
import { startServer } from '../support/server-process.ts';
import { makeFolder } from '../support/service.ts';

t.test('a request that is signed as the README says is not counted', async (t) => {
  if (!requireCommand(t, 'openssl') || !requireCommand(t, 'curl')) return;
  const [lines = ''] =
    /^ {4}seconds=.*\n.*\n.*X-Fleetlink-Synthetic.*$/m.exec(readFileSync('README.md', 'utf8')) ?? [];
  const env = { SYNTHETIC_SECRET: 'synthetic-secret-0123456789' };
  const server = await startServer(t, { dataDir: makeFolder(t), env });
  const { keys } = await makeLinks(server.url, 1);
  const script = lines.replace('http://127.0.0.1:3000/autumn', `${server.url}/${keys[0]}`);
  const run = (secret: string) =>
    promisify(execFile)('sh', ['-c', script], { env: { ...process.env, SYNTHETIC_SECRET: secret } });
  t.equal((await run(env.SYNTHETIC_SECRET)).stdout, '302\n');
  t.match(await readLedger(server.managementUrl), { served: 1, excluded: 1, counted: 0 });
  t.equal((await run('another-secret-0123456789')).stdout, '302\n');
  t.match(await readLedger(server.managementUrl), { served: 2, excluded: 1, counted: 1 });
});
