/** Fetches secrets when they are needed; they go to the host's own file and nowhere else. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Receiver } from '../notify/notify.ts';
import { findIdentities, readAgeFile } from './age-file.ts';
import { ManifestError } from './read-manifest.ts';
import type { Manifest } from './schema.ts';

type Variables = Readonly<Record<string, string | undefined>>;
type Source = Manifest['secrets'][string];

/** Throws ManifestError that names each secret that cannot be had, and none of their values. */
export async function fetchSecrets(
  secrets: Readonly<Record<string, Source>>,
  variables: Variables,
): Promise<Record<string, string>> {
  const faults: string[] = [];
  const values: Record<string, string> = {};
  for (const [name, source] of Object.entries(secrets)) {
    try {
      values[name] = await fetchSecret(name, source, variables);
    } catch (error) {
      faults.push(`  secrets.${name}: ${(error as Error).message}`);
    }
  }
  if (faults.length > 0) throw new ManifestError(`Secrets are missing:\n${faults.join('\n')}`);
  return values;
}

/** Throws ManifestError, as `fetchSecrets`. */
export async function fetchReceivers(notify: Manifest['notify'], variables: Variables): Promise<Receiver[]> {
  const sources = Object.fromEntries(
    notify.map((one, index) => [`notify.${index}`, 'slack' in one ? one.slack : one.webhook]),
  );
  const urls = await fetchSecrets(sources, variables);
  return notify.map((one, index) => ({
    kind: 'slack' in one ? 'slack' : 'webhook',
    url: urls[`notify.${index}`] as string,
  }));
}

async function fetchSecret(name: string, source: Source, variables: Variables): Promise<string> {
  if ('env' in source) {
    const value = variables[source.env];
    if (value === undefined || value === '') throw new Error(`the variable ${source.env} is not set here`);
    return value;
  }
  if ('file' in source) return readSecretFile(source.file);
  if ('age' in source) {
    const value = (await readAgeFile(source.age, findIdentities(variables)))[name];
    if (value === undefined) throw new Error(`${source.age} has no ${name}`);
    return value;
  }
  return runCommand(source.command as [string, ...string[]]);
}

function readSecretFile(path: string): string {
  try {
    return withoutBreak(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function runCommand([command, ...args]: [string, ...string[]]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { timeout: 30_000 });
    return withoutBreak(stdout);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'ENOENT') throw new Error(`there is no command ${command} here`);
    // Not what it printed: that may be the secret.
    throw new Error(`${command} ended with ${String(code)}`);
  }
}

/** The one that editors and programs put at the end. */
function withoutBreak(text: string): string {
  return text.replace(/\r?\n$/, '');
}
