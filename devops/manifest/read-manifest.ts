/** Reads the file of an environment, and says everything that is wrong with it at once. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { type Manifest, manifestSchema } from './schema.ts';

export class ManifestError extends Error {
  override name = 'ManifestError';
}

/** Throws ManifestError with a line for each fault: where it stands, and what was expected. */
export function readManifest(folder: string, environment: string): Manifest {
  const path = join(folder, `${environment}.yaml`);
  if (!/^[a-z][a-z0-9-]*$/.test(environment) || !existsSync(path)) {
    const known = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.yaml')) : [];
    const names = known.map((file) => file.slice(0, -'.yaml'.length));
    const hint = environment === 'lab' ? ' Make it with: npm run lab -- up' : '';
    throw new ManifestError(
      `There is no environment ${environment}. There ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}.${hint}`,
    );
  }
  return parseManifest(readFileSync(path, 'utf8'), `${environment}.yaml`);
}

export function parseManifest(text: string, file: string): Manifest {
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    throw new ManifestError(
      `${file} is not YAML:\n${document.errors.map(({ message }) => `  ${message.split('\n')[0]}`).join('\n')}`,
    );
  }
  const parsed = manifestSchema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(
    (issue) => `  ${issue.path.join('.') || 'the file'}: ${sentenceOf(issue)}`,
  );
  throw new ManifestError(`${file} cannot be used:\n${faults.join('\n')}`);
}

/** Of a name that is none, and of what may be one of several things, zod keeps what is wrong a level below. */
function sentenceOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue.message;
  return issue.errors.flatMap(([first]) => (first === undefined ? [] : [first.message])).join(', or ');
}
