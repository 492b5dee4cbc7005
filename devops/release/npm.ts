/** npm, as this machine has it, on the Node that is built for. */

import { execFile } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

export class BuildError extends Error {
  override name = 'BuildError';
}

/** The variables of who deploys. */
export type Variables = Readonly<Record<string, string | undefined>>;

export interface NpmOptions {
  readonly cwd: string;
  readonly variables: Variables;
  /** Its Node runs npm, and its headers are what native modules are built with. */
  readonly toolchain?: string;
}

/** Throws BuildError with the end of what npm says. */
export async function runNpm(
  args: readonly string[],
  { cwd, toolchain, variables }: NpmOptions,
): Promise<void> {
  const { PATH = '' } = variables;
  const env = {
    ...variables,
    ...(toolchain !== undefined && {
      PATH: `${join(toolchain, 'bin')}${delimiter}${PATH}`,
      npm_config_nodedir: toolchain,
    }),
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  };
  try {
    await promisify(execFile)('npm', args, { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    const end = stderr.trim().split('\n').slice(-12).join('\n');
    throw new BuildError(`npm ${args.slice(0, 2).join(' ')} failed: ${end === '' ? message : end}`, {
      cause: error,
    });
  }
}
