/** A release as it lies on a host: the built program beside its ecosystem file, in a folder of its own. */

import { cpSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { runNode } from './run-node.ts';
import { makeFolder } from './service.ts';

/** Builds from the sources as they are now, so that tests neither wait for nor disturb somebody else's dist/. */
export async function buildRelease(t: Test): Promise<string> {
  const folder = makeFolder(t);
  const compiler = resolve('node_modules/typescript/bin/tsc');
  const output = ['--outDir', join(folder, 'dist'), '--tsBuildInfoFile', join(folder, '.tsbuildinfo')];
  await runNode([compiler, '-p', 'tsconfig.build.json', ...output]);
  for (const name of ['package.json', 'ecosystem.config.cjs']) cpSync(name, join(folder, name));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  return folder;
}
