/** Fetches secrets when they are needed; they go to the host's own file and nowhere else. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { ManifestError } from './read-manifest.ts';
import type { Manifest } from './schema.ts';

/** Throws ManifestError that names each secret that cannot be had, and none of their values. */
export async function fetchSecrets(
  secrets: Manifest['secrets'],
  variables: Readonly<Record<string, string | undefined>>,
): Promise<Record<string, string>> {
  const faults: string[] = [];
  const values: Record<string, string> = {};
  for (const [name, source] of Object.entries(secrets)) {
    try {
      values[name] = await fetchSecret(source, variables);
    } catch (error) {
      faults.push(`  secrets.${name}: ${(error as Error).message}`);
    }
  }
  if (faults.length > 0) throw new ManifestError(`Secrets are missing:\n${faults.join('\n')}`);
  return values;
}

async function fetchSecret(
  source: Manifest['secrets'][string],
  variables: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if ('env' in source) {
    const value = variables[source.env];
    if (value === undefined || value === '') throw new Error(`the variable ${source.env} is not set here`);
    return value;
  }
  if ('file' in source) return readFileSync(source.file, 'utf8').trim();
  const [command, ...args] = source.command as [string, ...string[]];
  try {
    const { stdout } = await promisify(execFile)(command, args, { timeout: 30_000 });
    return stdout.trim();
  } catch (error) {
    // Not what it printed: that may be the secret.
    throw new Error(`${command} ended with ${String((error as { code?: unknown }).code)}`);
  }
}
