/**
 * Deploys of releases that are made of the sources as they are now, to hosts that have the Node, PM2 and modules of the tests. What
 * `npm run deploy` does beside it (reading the manifest, building) has tests of its own.
 */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { openJournal } from '../../devops/audit/journal.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import { createTextReporter } from '../../devops/output/reporter.ts';
import { type Archive, archiveOnce } from '../../devops/release/archive.ts';
import { buildTool } from '../../devops/release/tool.ts';
import type { HostClient } from '../../devops/remote/host-client.ts';
import { runDeploy } from '../../devops/roll/deploy.ts';
import { findRollbackTarget } from '../../devops/roll/find-rollback-target.ts';
import { planFor, survey } from '../../devops/roll/survey.ts';
import { buildRelease } from './release.ts';
import { makeFolder } from './service.ts';

/** The layer that `installTestBase` and the hosts of the lab have. */
export const TEST_MODULES = 'modules-of-the-tests';

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
  deploy(id: string, app: Archive, clients?: ReadonlyMap<string, HostClient>): Promise<number>;
  rollback(): Promise<number>;
  output(): string;
  readJournals(): string[];
}

export function buildTestTool(t: Test): Promise<Archive> {
  return buildTool(makeFolder(t), resolve('devops/host'));
}

export async function createDeploys(
  t: Test,
  { manifest, clients: all, variables }: DeploysOptions,
): Promise<Deploys> {
  const [cache, state] = [makeFolder(t), makeFolder(t)];
  const built = await buildRelease(t);
  const journals: string[] = [];
  let output = '';

  async function run(
    id: string | null,
    { app, clients = all }: { app?: Archive; clients?: ReadonlyMap<string, HostClient> },
  ): Promise<number> {
    const facts = await survey(clients, { base: null, onNote: () => undefined });
    const release = id ?? findRollbackTarget([...facts.values()]);
    const deploy = `deploy-${journals.length + 1}`;
    journals.push(join(state, `${deploy}.jsonl`));
    return runDeploy({
      deploy,
      holder: 'somebody@laptop',
      nonce: `nonce-${journals.length}`,
      manifest,
      release: {
        id: release,
        platform: process.platform,
        arch: process.arch,
        ...(app !== undefined && { app, modules: { id: TEST_MODULES, file: '', bytes: 0, sha256: '' } }),
      },
      plan: planFor({ manifest, release, names: clients.keys(), facts, isRollback: id === null }),
      clients,
      factsBefore: facts,
      variables,
      journal: openJournal(journals.at(-1) as string, { nowMs: Date.now }),
      reporter: createTextReporter({
        write: (text) => {
          output += text;
        },
        nowMs: Date.now,
        environment: 'test',
      }),
      isInterrupted: () => false,
    });
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
    deploy: (id, app, clients) => run(id, { app, ...(clients !== undefined && { clients }) }),
    rollback: () => run(null, {}),
    output: () => output,
    readJournals: () => journals.map((path) => readFileSync(path, 'utf8')),
  };
}

/** Puts a line in front of the program of a release. */
export function beginWith(line: string): (folder: string) => void {
  return (folder) => {
    const path = join(folder, 'dist/main.js');
    writeFileSync(path, `${line}\n${readFileSync(path, 'utf8')}`);
  };
}
