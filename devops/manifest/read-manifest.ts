/** Reads the file of an environment, and says everything that is wrong with it at once. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { type Document, isMap, isScalar, parseDocument } from 'yaml';
import type { z } from 'zod';
import { DEFAULT_ROOTS, type Manifest, manifestSchema, PROVIDERS, VARIABLE } from './schema.ts';
import {
  findNameFaults,
  findPlainSecrets,
  findValueFaults,
  type VariableFault,
} from './service-variables.ts';

export class ManifestError extends Error {
  override name = 'ManifestError';
}

/** Throws ManifestError with a line for each fault: where it stands, and what was expected. */
export function readManifest(folder: string, environment: string): Manifest {
  const path = join(folder, `${environment}.yaml`);
  if (!/^[a-z][a-z0-9-]*$/.test(environment) || !existsSync(path)) {
    const names = listEnvironments(folder);
    const hint = environment === 'lab' ? ' Make it with: npm run lab -- up' : '';
    throw new ManifestError(
      `There is no environment ${environment}. There ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}.${hint}`,
    );
  }
  const manifest = parseManifest(readFile(path), `${environment}.yaml`);
  const faults = findNeighbourFaults(folder, environment, manifest);
  if (faults.length > 0) throw unusable(`${environment}.yaml`, faults);
  return manifest;
}

export function parseManifest(text: string, file: string): Manifest {
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    throw new ManifestError(
      `${file} is not YAML:\n${document.errors.map(({ message }) => `  ${message.split('\n')[0]}`).join('\n')}`,
    );
  }
  keepDigits(document);
  const given = toValues(document, file);
  if (!isRecord(given)) {
    throw unusable(file, [
      'expected lines such as `provider: local`; --print-schema prints all that there are',
    ]);
  }
  const { data, issues } = judge(given);
  const faults = [
    ...issues.map((issue) => `${issue.path.join('.') || 'the file'}: ${sentenceOf(issue)}`),
    ...findServiceFaults(given),
  ];
  if (data === undefined || faults.length > 0) throw unusable(file, faults);
  return data;
}

/** Throws ManifestError with what the service would not start with, now that secrets are known too. Their values are not shown. */
export function requireUsable(
  variables: Readonly<Record<string, string>>,
  { service, secrets }: Pick<Manifest, 'service' | 'secrets'>,
): void {
  const faults = findValueFaults({ variables, secrets: new Set(Object.keys(secrets)) });
  if (faults.length === 0) return;
  const place = (name: string): string =>
    Object.hasOwn(secrets, name) && !Object.hasOwn(service, name) ? 'secrets' : 'service';
  throw new ManifestError(
    `The service would not start:\n${faults.map((fault) => `  ${describeIn(place(fault.name))(fault)}`).join('\n')}`,
  );
}

/** Where its provider is none, the rest is judged as what it looks like, so that all is told at once. */
function judge(given: Record<string, unknown>): { data: Manifest | undefined; issues: z.core.$ZodIssue[] } {
  const { data, error } = manifestSchema.safeParse(given);
  const issues = error?.issues ?? [];
  if (PROVIDERS.some((known) => known === given.provider)) return { data, issues };
  const provider = 'hosts' in given ? 'hosts' : 'local';
  const others = manifestSchema.safeParse({ ...given, provider }).error?.issues ?? [];
  return { data: undefined, issues: [...issues, ...others] };
}

/** As it is written and not as a number: a key of digits keeps its zeros, and more than fit in a double. */
function keepDigits(document: Document): void {
  const service = document.get('service');
  if (!isMap(service)) return;
  for (const { value } of service.items) {
    if (isScalar(value) && typeof value.value === 'number') value.value = value.source ?? value.value;
  }
}

/** Of all variables, also where other things are amiss. */
function findServiceFaults(given: Record<string, unknown>): string[] {
  const service = variablesOf(given, 'service');
  const secrets = variablesOf(given, 'secrets');
  const isSecret = (name: string): boolean => Object.hasOwn(secrets, name);
  const values = findValueFaults({ variables: service, secrets: new Set() });
  return [
    ...findNameFaults(Object.keys(service)).map(describeIn('service')),
    ...findPlainSecrets(Object.keys(service)).map(describeIn('service')),
    ...values.filter(({ name }) => !isSecret(name)).map(describeIn('service')),
    ...findNameFaults(Object.keys(secrets)).map(describeIn('secrets')),
    ...Object.keys(service)
      .filter(isSecret)
      .map((name) => `secrets.${name}: stands below service too`),
  ];
}

/** What it takes of another environment, and has to be there, or must not be the same. */
function findNeighbourFaults(
  folder: string,
  environment: string,
  { deploy, ...manifest }: Manifest,
): string[] {
  const { staged_in: staged } = deploy;
  const known = listEnvironments(folder);
  const faults: string[] = [];
  if (staged === environment) faults.push('deploy.staged_in: expected another environment than this one');
  else if (staged !== undefined && !known.includes(staged))
    faults.push(`deploy.staged_in: there is no environment ${staged}`);
  const places = listPlaces(manifest);
  for (const other of known.filter((name) => name !== environment)) {
    const theirs = listPlaces(readNeighbour(folder, other));
    const shared = places.find((place) => theirs.includes(place));
    if (shared !== undefined) faults.push(`root: ${shared} belongs to ${other} already`);
  }
  return faults;
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ManifestError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

/** Of a document whose names for parts (aliases) may lead nowhere, or to too much. */
function toValues(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    throw new ManifestError(`${file} is not YAML:\n  ${(error as Error).message.split('\n')[0]}`);
  }
}

/** Null where it is none: that is told to who works with it. */
function readNeighbour(folder: string, environment: string): unknown {
  try {
    return toValues(parseDocument(readFile(join(folder, `${environment}.yaml`))), environment);
  } catch (error) {
    if (error instanceof ManifestError) return null;
    throw error;
  }
}

/** Folders on hosts, of a file that may be anything. */
function listPlaces(given: unknown): string[] {
  if (!isRecord(given)) return [];
  const { provider, hosts, ssh } = given;
  if (provider === 'local') return [normalize(String(given.root ?? DEFAULT_ROOTS.local)).replace(/\/$/, '')];
  if (!Array.isArray(hosts)) return [];
  const port = isRecord(ssh) ? ssh.port : undefined;
  return hosts
    .filter(isRecord)
    .map((host) => `${given.root ?? DEFAULT_ROOTS.hosts} on ${host.address}:${host.port ?? port ?? 22}`);
}

function listEnvironments(folder: string): string[] {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.filter((file) => file.endsWith('.yaml')).map((file) => file.slice(0, -'.yaml'.length));
}

function unusable(file: string, faults: readonly string[]): ManifestError {
  return new ManifestError(`${file} cannot be used:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
}

function describeIn(place: string): (fault: VariableFault) => string {
  return ({ name, sentence }) => `${place}.${name}: ${sentence}`;
}

/** Those below `place`; names that are badly written are told of as that. */
function variablesOf(given: Record<string, unknown>, place: string): Record<string, string> {
  const { [place]: found } = given;
  const entries = isRecord(found) ? Object.entries(found) : [];
  return Object.fromEntries(
    entries.filter(([name]) => VARIABLE.test(name)).map(([name, value]) => [name, String(value)]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of a name that is none, and of what may be one of several things, zod keeps what is wrong a level below. */
function sentenceOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input' || issue.errors.length === 0)
    return issue.message;
  return issue.errors.flatMap(([first]) => (first === undefined ? [] : [first.message])).join(', or ');
}
