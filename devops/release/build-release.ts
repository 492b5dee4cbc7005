/** A release: built once of a commit, in layers of which a host receives what it lacks. */

import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Archive, archiveOnce, hashFile, hashOf, listFiles } from './archive.ts';
import { type Base, buildBase, type Target } from './base.ts';
import { buildModules } from './modules.ts';
import { type Needs, readNeeds } from './needs.ts';
import { BuildError, type Variables } from './npm.ts';
import { takeSource } from './source.ts';

export interface Release extends Target {
  /** When it was committed, and the commit. */
  readonly id: string;
  readonly commit: string;
  readonly isDirty: boolean;
  readonly base: Base;
  readonly modules: Archive;
  readonly app: Archive;
  readonly needs: Needs;
}

/** What is to be known of a release where its layers are not needed. */
export type ReleaseIdentity = Pick<Release, 'id' | 'platform' | 'arch' | 'isDirty'> &
  Partial<Pick<Release, 'needs'>>;

export interface BuildOptions extends Target {
  /** Where the sources are. */
  readonly repository: string;
  /** What was built lies here, and is not built again. */
  readonly cache: string;
  readonly allowDirty: boolean;
  readonly variables: Variables;
  /** The Node that compiles. */
  readonly node: string;
  readonly onStep: (step: string) => void;
}

/** Throws BuildError with a sentence. */
export async function buildRelease(options: BuildOptions): Promise<Release> {
  const { repository, cache, allowDirty, variables, node, onStep, platform, arch } = options;
  const source = await takeSource(repository, { allowDirty });
  try {
    onStep('base: Node and PM2');
    const base = await buildBase({ cache, variables, platform, arch });
    onStep('modules, for the Node of the base');
    const modules = await buildModules({ cache, source: source.folder, base, variables, platform, arch });
    onStep('app');
    const app = await buildApp({ repository, cache, node, source: source.folder });
    const { commit, isDirty, committedAtMs } = source;
    const id = nameRelease({ commit, committedAtMs, content: isDirty ? `${app.id} ${modules.id}` : null });
    const needs = await readNeeds([base, modules]);
    const release = { id, commit, isDirty, platform, arch, base, modules, app, needs };
    keep(cache, release);
    return release;
  } finally {
    source.remove();
  }
}

/** One that was built before. Throws BuildError. */
export function findRelease(cache: string, id: string): Release {
  const release = findBuilt(cache, id);
  if (release === null)
    throw new BuildError(`There is no release ${id} here. It has to be built first, without --release.`);
  return release;
}

/** Null: it was not built here. */
export function findBuilt(cache: string, id: string): Release | null {
  const path = pathOf(cache, id);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Release) : null;
}

function keep(cache: string, release: Release): void {
  const path = pathOf(cache, release.id);
  mkdirSync(join(cache, 'releases'), { recursive: true });
  writeFileSync(`${path}.new`, JSON.stringify(release, null, 2));
  renameSync(`${path}.new`, path);
}

function pathOf(cache: string, id: string): string {
  return join(cache, 'releases', `${id}.json`);
}

const DIRTY = '-dirty-';

function nameRelease({
  commit,
  committedAtMs,
  content,
}: {
  commit: string;
  committedAtMs: number;
  content: string | null;
}): string {
  const at = new Date(committedAtMs).toISOString().replace(/[-:]/g, '').slice(0, 15);
  const id = `${at}-${commit.slice(0, 8)}`;
  return content === null ? id : `${id}${DIRTY}${hashOf(content)}`;
}

/** What the name of a release says of it. */
export function identify(id: string, { platform, arch }: Target): ReleaseIdentity {
  return { id, platform, arch, isDirty: id.includes(DIRTY) };
}

/** What a release takes of the sources, beside what is compiled. */
const FILES = ['package.json', 'ecosystem.config.cjs', 'LICENSE'];

type BuildAppOptions = Pick<BuildOptions, 'repository' | 'cache' | 'node'> & { readonly source: string };

async function buildApp(options: BuildAppOptions): Promise<Archive> {
  const { cache, source } = options;
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-app-'));
  try {
    await compile(options, join(folder, 'dist'));
    for (const name of FILES) cpSync(join(source, name), join(folder, name));
    const files = await Promise.all(
      listFiles(folder).map(async (name) => [name, await hashFile(join(folder, name))] as const),
    );
    writeFileSync(join(folder, 'files.json'), `${JSON.stringify(Object.fromEntries(files), null, 1)}\n`);
    const id = `app-${hashOf(JSON.stringify(files))}`;
    return await archiveOnce(cache, id, async () => ({ folder, remove: () => undefined }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compile({ repository, source, node }: BuildAppOptions, to: string): Promise<void> {
  const modules = join(repository, 'node_modules');
  symlinkSync(modules, join(source, 'node_modules'));
  try {
    const tsc = join(modules, 'typescript/bin/tsc');
    const fresh = ['--incremental', 'false', '--tsBuildInfoFile', 'null'];
    await promisify(execFile)(node, [tsc, '-p', 'tsconfig.build.json', '--outDir', to, ...fresh], {
      cwd: source,
    });
  } catch (error) {
    const { stdout = '', message } = error as { stdout?: string; message: string };
    throw new BuildError(`The sources do not compile:\n${stdout === '' ? message : stdout}`, {
      cause: error,
    });
  }
}
