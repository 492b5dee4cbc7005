/**
 * The base of a host: a Node that is supported for years, and PM2. From npm's own package of that Node, which carries the headers that
 * native modules are built with, and not from whoever deploys.
 */

import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar';
import { type Archive, archiveOnce, hashOf } from './archive.ts';
import { runNpm, type Variables } from './npm.ts';

/** A line with long-term support until April 2027. From 24.19 on Node ends processes that use better-sqlite3 12 (README). */
export const NODE_VERSION = '22.23.3';
const PM2_VERSION = '7.0.4';

export interface Target {
  readonly platform: string;
  readonly arch: string;
}

export interface Base extends Archive {
  /** A folder of this machine that has the same Node, and its headers, to build with. */
  readonly toolchain: string;
}

export interface BuildBaseOptions extends Target {
  readonly cache: string;
  readonly variables: Variables;
}

export async function buildBase({ cache, variables, platform, arch }: BuildBaseOptions): Promise<Base> {
  const toolchain = join(cache, `node-${NODE_VERSION}-${platform}-${arch}`);
  await fetchNode(toolchain, { platform, arch, variables });
  const id = `base-node${NODE_VERSION}-pm2${PM2_VERSION}-${platform}-${arch}-${hashOf(NODE_VERSION, PM2_VERSION)}`;
  const archive = await archiveOnce(cache, id, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fleetlink-base-'));
    mkdirSync(join(folder, 'bin'));
    cpSync(join(toolchain, 'bin/node'), join(folder, 'bin/node'));
    await runNpm(
      ['install', '--prefix', join(folder, 'pm2'), '--omit=dev', '--ignore-scripts', `pm2@${PM2_VERSION}`],
      {
        cwd: folder,
        toolchain,
        variables,
      },
    );
    return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
  });
  return { ...archive, toolchain };
}

async function fetchNode(
  toolchain: string,
  { platform, arch, variables }: Omit<BuildBaseOptions, 'cache'>,
): Promise<void> {
  if (existsSync(toolchain)) return;
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-node-'));
  try {
    await runNpm(['pack', '--silent', `node-${platform}-${arch}@${NODE_VERSION}`], {
      cwd: folder,
      variables,
    });
    await extract({ cwd: folder, file: join(folder, `node-${platform}-${arch}-${NODE_VERSION}.tgz`) });
    mkdirSync(join(toolchain, '..'), { recursive: true });
    renameSync(join(folder, 'package'), toolchain);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
