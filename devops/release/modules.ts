/** The modules that the service needs, built for the Node and the platform of the hosts. */

import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Archive, archiveOnce, hashOf } from './archive.ts';
import { type Base, NODE_VERSION, type Target } from './base.ts';
import { runNpm, type Variables } from './npm.ts';

export interface BuildModulesOptions extends Target {
  readonly cache: string;
  /** The files of the commit. */
  readonly source: string;
  readonly base: Base;
  readonly variables: Variables;
}

export function buildModules({
  cache,
  source,
  base,
  variables,
  platform,
  arch,
}: BuildModulesOptions): Promise<Archive> {
  const lock = readFileSync(join(source, 'package-lock.json'), 'utf8');
  const id = `modules-${platform}-${arch}-${hashOf(lock, NODE_VERSION, platform, arch)}`;
  return archiveOnce(cache, id, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fleetlink-modules-'));
    copyFileSync(join(source, 'package-lock.json'), join(folder, 'package-lock.json'));
    if (existsSync(join(source, '.npmrc'))) copyFileSync(join(source, '.npmrc'), join(folder, '.npmrc'));
    // Without scripts of our own, which are for who works on the sources.
    const { scripts: _, ...manifest } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
      scripts: unknown;
    };
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    await runNpm(['ci', '--omit=dev'], { cwd: folder, toolchain: base.toolchain, variables });
    for (const name of ['package.json', 'package-lock.json', '.npmrc'])
      rmSync(join(folder, name), { force: true });
    dropSources(join(folder, 'node_modules/better-sqlite3'));
    rmSync(join(folder, 'node_modules/.package-lock.json'), { force: true });
    return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
  });
}

/** What was compiled stays, and what it was compiled of goes: nine tenths of the package. */
function dropSources(folder: string): void {
  for (const name of ['deps', 'src', 'binding.gyp'])
    rmSync(join(folder, name), { recursive: true, force: true });
  const build = join(folder, 'build');
  for (const path of existsSync(build) ? readdirSync(build, { recursive: true, withFileTypes: true }) : []) {
    if (path.isFile() && path.name !== 'better_sqlite3.node') rmSync(join(path.parentPath, path.name));
  }
}
