/** A release as it lies on a host: the built program beside its ecosystem file, in a folder of its own. */

import { execFile } from 'node:child_process';
import { cpSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { makeFolder } from './service.ts';

/** Builds from the sources as they are now, so that tests neither wait for nor disturb somebody else's dist/. */
export async function buildRelease(t: Test): Promise<string> {
  const folder = makeFolder(t);
  const dist = join(folder, 'dist');
  const args = [
    '-p',
    'tsconfig.build.json',
    '--outDir',
    dist,
    '--tsBuildInfoFile',
    join(folder, '.tsbuildinfo'),
  ];
  // tap's own loader, which NODE_OPTIONS brings along, does not get along with the compiler.
  await promisify(execFile)(resolve('node_modules/.bin/tsc'), args, {
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  for (const name of ['package.json', 'ecosystem.config.cjs']) cpSync(name, join(folder, name));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  return folder;
}
