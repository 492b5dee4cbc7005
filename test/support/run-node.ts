/** Runs a Node program that is not ours to cover: tap puts its loader into the environment of whatever a test starts. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Resolves with its standard output; rejects when it fails. `env` adds to the environment of the test. */
export async function runNode(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const [command, ...words] = withoutTap([process.execPath, ...args]);
  const { stdout } = await promisify(execFile)(command, words, {
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** The same command, free of tap's loader, and so faster to start. */
export function withoutTap(argv: readonly string[]): [string, ...string[]] {
  return ['env', '--unset=NODE_OPTIONS', ...argv];
}
