/**
 * Deploys of releases that are made of the sources as they are now, to hosts that have the Node, PM2 and modules of the tests. What
 * `npm run deploy` does beside it (reading the manifest, building) has tests of its own.
 */

import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Test } from 'tap';
import { openJournal } from '../../devops/audit/journal.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import { createTextReporter } from '../../devops/output/reporter.ts';
import { loadPolicies } from '../../devops/policy/decide.ts';
import { type Archive, archiveOnce } from '../../devops/release/archive.ts';
import type { Needs } from '../../devops/release/needs.ts';
import { buildTool } from '../../devops/release/tool.ts';
import type { HostClient } from '../../devops/remote/host-client.ts';
import { abortDeploy, resumeDeploy, runDeploy } from '../../devops/roll/deploy.ts';
import { findRollbackTarget } from '../../devops/roll/find-rollback-target.ts';
import { isFollowed } from '../../devops/roll/follow.ts';
import { type DeployRecord, noteBefore, recordOf } from '../../devops/roll/record.ts';
import { planFor, survey } from '../../devops/roll/survey.ts';
import { TEST_MODULES } from './lab-hosts.ts';
import { buildRelease } from './release.ts';
import { makeFolder } from './service.ts';

export interface DeploysOptions {
  readonly manifest: Manifest;
  readonly clients: ReadonlyMap<string, HostClient>;
  /** Of the service. */
  readonly variables: Readonly<Record<string, string>>;
}

export interface Deploys {
  /** `change` works on the folder of the release before it is packed. */
  release(id: string, change?: (folder: string) => void): Promise<Archive>;
  /** Resolves with the exit code. */
  deploy(id: string, app: Archive, how?: DeployHow): Promise<number>;
  /** Goes on with the last one, forward or back. */
  end(way: 'resume' | 'abort', app: Archive | null): Promise<number>;
  rollback(): Promise<number>;
  output(): string;
  readJournals(): string[];
}

/** What is different from the other deploys of the test. */
export interface DeployHow extends Partial<Pick<TestDeploy, 'clients' | 'variables' | 'needs' | 'onLine'>> {}

export function buildTestTool(t: Test): Promise<Archive> {
  return buildTool(makeFolder(t), resolve('devops/host'));
}

/** A deploy as a test runs it, here or in a process of its own. */
export interface TestDeploy extends DeploysOptions {
  readonly deploy: string;
  /** Null: back to the last one. */
  readonly release: string | null;
  readonly app: Archive | null;
  readonly journal: string;
  readonly onText: (text: string) => void;
  /** Of the binaries of the release. */
  readonly needs?: Needs;
  /** Told of each line of the journal. */
  readonly onLine?: (line: string) => void;
}

/** Resolves with the exit code. */
export async function runTestDeploy(given: TestDeploy): Promise<number> {
  const { manifest, clients, deploy, app } = given;
  const facts = await survey(clients, { base: null, onNote: () => undefined });
  const release = given.release ?? findRollbackTarget(facts, null);
  const built = {
    id: release,
    platform: process.platform,
    arch: process.arch,
    isDirty: false,
    needs: given.needs ?? { glibc: null },
  };
  return runDeploy({
    ...(await optionsOf(given)),
    record: {
      deploy,
      holder: 'somebody@laptop',
      nonce: `nonce-of-${deploy}`,
      environment: 'test',
      isRollback: given.release === null,
      ranInStaging: false,
      isRollbackWaived: false,
      release: built,
      plan: planFor({ manifest, release, names: clients.keys(), facts, isRollback: given.release === null }),
      wasFollowed: await isFollowed(given.variables),
      before: noteBefore(facts),
    },
    release: { ...built, ...layersOf(app) },
  });
}

/** Goes on with what `journal` has, forward or back. */
export async function endTestDeploy(given: TestDeploy, way: 'resume' | 'abort'): Promise<number> {
  const options = await optionsOf(given);
  const record = recordOf(options.journal.entries()) as DeployRecord;
  await survey(given.clients, { base: null, onNote: () => undefined });
  const go = way === 'resume' ? resumeDeploy : abortDeploy;
  return go({ ...options, record, release: { ...record.release, ...layersOf(given.app) } });
}

async function optionsOf({ manifest, clients, variables, journal, onText, onLine }: TestDeploy) {
  return {
    manifest,
    clients,
    variables,
    policies: await loadPolicies('devops/policies'),
    journal: openJournal(journal, { nowMs: Date.now, ...(onLine !== undefined && { onLine }) }),
    reporter: createTextReporter({ write: onText, nowMs: Date.now, environment: 'test' }),
    tell: () => undefined,
    isInterrupted: () => false,
  };
}

function layersOf(app: Archive | null) {
  return app === null ? {} : { app, modules: { id: TEST_MODULES, file: '', bytes: 0, sha256: '' } };
}

export async function createDeploys(t: Test, options: DeploysOptions): Promise<Deploys> {
  const [cache, state] = [makeFolder(t), makeFolder(t)];
  const built = await buildRelease(t);
  const journals: string[] = [];
  let output = '';

  const onText = (text: string): void => {
    output += text;
  };

  function run(release: string | null, app: Archive | null, how: DeployHow = {}): Promise<number> {
    const deploy = `deploy-${journals.length + 1}`;
    const journal = join(state, `${deploy}.jsonl`);
    journals.push(journal);
    return runTestDeploy({ ...options, ...how, deploy, release, app, journal, onText });
  }

  return {
    release: (id, change) =>
      archiveOnce(cache, `app-${id}`, async () => {
        const folder = makeFolder(t);
        for (const name of ['dist', 'package.json', 'ecosystem.config.cjs']) {
          cpSync(join(built, name), join(folder, name), { recursive: true });
        }
        change?.(folder);
        return { folder, remove: () => undefined };
      }),
    deploy: (id, app, how) => run(id, app, how),
    end(way, app) {
      const journal = journals.at(-1) as string;
      return endTestDeploy(
        { ...options, deploy: basename(journal, '.jsonl'), release: null, app, journal, onText },
        way,
      );
    },
    rollback: () => run(null, null),
    output: () => output,
    // One that was refused before it began has none.
    readJournals: () => journals.filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8')),
  };
}

/** Puts a line in front of the program of a release. */
export function beginWith(line: string): (folder: string) => void {
  return (folder) => {
    const path = join(folder, 'dist/main.js');
    writeFileSync(path, `${line}\n${readFileSync(path, 'utf8')}`);
  };
}
