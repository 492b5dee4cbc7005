/** The variables of the service on this host, as they stand in files of `NAME="value"` lines that Node reads itself (--env-file). */

import { randomBytes } from 'node:crypto';
import { parseEnv } from 'node:util';
import { readJson, readText, writeAtomically } from './files.ts';
import type { Layout } from './layout.ts';

export type Environment = Readonly<Record<string, string>>;

/** Variables that a host makes for itself, where the environment says nothing of them. */
export const GENERATED: ReadonlySet<string> = new Set(['SYNTHETIC_SECRET']);

/** Only for the user of the service: there are secrets among them. */
const PRIVATE = 0o600;

export function readServiceEnvironment(layout: Layout): Environment {
  return parseEnv(readText(layout.serviceEnv) ?? '') as Environment;
}

/** What was there before is kept for an undo of `deploy`, however often it is written. */
export function writeServiceEnvironment(layout: Layout, { deploy, variables }: Configuration): void {
  const before = readKept(layout);
  const text = before?.deploy === deploy ? before.text : readText(layout.serviceEnv);
  keep(layout, { deploy, text, failed: null });
  const { SYNTHETIC_SECRET = readServiceEnvironment(layout).SYNTHETIC_SECRET ?? makeSecret() } = variables;
  writeAtomically(layout.serviceEnv, render({ SYNTHETIC_SECRET, ...variables }), PRIVATE);
}

/** Of this host alone: its own test requests are known by it, where the environment has no other. */
function makeSecret(): string {
  return randomBytes(32).toString('hex');
}

interface Kept {
  readonly deploy: string;
  /** Null: it was not there. */
  readonly text: string | null;
  /** What did not take over here, so that these are the variables again. */
  readonly failed: Failed | null;
}

export interface Failed {
  readonly release: string;
  /** Of the lease under which that was: who goes on with the deploy later has another one, and may try again. */
  readonly epoch: number;
}

function readKept(layout: Layout): Kept | null {
  return readJson<Kept>(`${layout.serviceEnv}.before`);
}

function keep(layout: Layout, kept: Kept): void {
  writeAtomically(`${layout.serviceEnv}.before`, JSON.stringify(kept), PRIVATE);
}

export interface Configuration {
  readonly deploy: string;
  readonly variables: Environment;
}

/** As before `deploy`; nothing where that has changed nothing. `failed`: what made it necessary; null: somebody wants it, and what failed may be tried again. */
export function restoreServiceEnvironment(
  layout: Layout,
  deploy: string,
  failed: Failed | null = null,
): void {
  const before = readKept(layout);
  if (before?.deploy !== deploy || before.text === null) return;
  keep(layout, { ...before, failed });
  writeAtomically(layout.serviceEnv, before.text, PRIVATE);
}

/** What of `deploy` did not take over here since its variables were written; null: nothing. */
export function readFailed(layout: Layout, deploy: string): Failed | null {
  const before = readKept(layout);
  return before?.deploy === deploy ? before.failed : null;
}

/** Who started what runs, which /readyz echoes, and where it listens for us: the other variables may be those of the next one already. */
export function writeDeployEnvironment(
  layout: Layout,
  { release, nonce }: { readonly release: string; readonly nonce: string },
): void {
  const MANAGEMENT_PORT = String(managementPortOf(readServiceEnvironment(layout)));
  const variables = { RELEASE_ID: release, DEPLOY_NONCE: nonce, MIGRATE: 'check', MANAGEMENT_PORT };
  writeAtomically(layout.deployEnv, render(variables), PRIVATE);
}

/** Of the service that runs. */
export function readManagementPort(layout: Layout): number {
  const started = parseEnv(readText(layout.deployEnv) ?? '') as Environment;
  return managementPortOf({ ...readServiceEnvironment(layout), ...started });
}

export function managementPortOf(variables: Environment): number {
  return Number(variables.MANAGEMENT_PORT ?? 9100);
}

export function publicPortOf(variables: Environment): number {
  return Number(variables.PORT ?? 3000);
}

/** Node's format has no escapes: what holds one kind of quotes is put between another. Throws where a value holds all kinds. */
function render(variables: Environment): string {
  return Object.entries(variables)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}=${quote(name, value)}\n`)
    .join('');
}

function quote(name: string, value: string): string {
  // Between double quotes a backslash and an n are a line break.
  const mark = [`'`, '`', ...(value.includes('\\n') ? [] : ['"'])].find(
    (candidate) => !value.includes(candidate),
  );
  if (mark === undefined || /[\n\r\0]/.test(value)) {
    throw new Error(
      `${name} holds a line break, or every kind of quotes, which an environment file cannot say.`,
    );
  }
  return `${mark}${value}${mark}`;
}
