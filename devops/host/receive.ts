/** Takes layers in: verified before they are unpacked, and under their name only once they are whole. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { readJson } from './files.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { listGood, readCurrent, readState } from './state.ts';

export interface IncomingLayer {
  readonly id: string;
  /** Of the archive, a gzipped tar. */
  readonly sha256: string;
}

/** Throws HostError `corrupt`. One that is there is left as it is. */
export async function receiveLayer(
  layout: Layout,
  { id, sha256 }: IncomingLayer,
  archive: Readable,
): Promise<void> {
  if (existsSync(layout.layer(id))) return;
  mkdirSync(layout.layers, { recursive: true });
  const folder = join(layout.layers, `.${id}.${process.pid}`);
  const file = `${folder}.tgz`;
  const hash = createHash('sha256');
  try {
    await pipeline(
      archive,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(file),
    );
    const received = hash.digest('hex');
    if (received !== sha256) {
      throw new HostError('corrupt', `Layer ${id} arrived with SHA-256 ${received}, and ${sha256} was sent.`);
    }
    mkdirSync(folder);
    execFileSync('tar', ['-xzf', file, '-C', folder, '--no-same-owner']);
    if (!existsSync(layout.layer(id))) renameSync(folder, layout.layer(id));
  } finally {
    rmSync(file, { force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface ReleaseParts {
  readonly id: string;
  readonly app: string;
  readonly modules: string;
}

/** Puts a release together from its layers. Throws HostError `missing`. */
export function assembleRelease(layout: Layout, { id, app, modules }: ReleaseParts): void {
  for (const layer of [app, modules]) {
    if (!existsSync(layout.layer(layer)))
      throw new HostError('missing', `Layer ${layer} is not on this host.`);
  }
  if (existsSync(layout.release(id))) return;
  mkdirSync(layout.releases, { recursive: true });
  const folder = join(layout.releases, `.${id}.${process.pid}`);
  try {
    // A copy, because PM2 and Node ask where a file really is: the folder of a process names its release.
    execFileSync('cp', ['-a', layout.layer(app), folder]);
    symlinkSync(join(layout.layer(modules), 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, PARTS), `${JSON.stringify({ id, app, modules })}\n`);
    renameSync(folder, layout.release(id));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const PARTS = 'parts.json';
/** Releases kept beside those that may be needed. */
const RELEASES_KEPT = 5;

/** Bases and programs of ours that were brought so long ago, where others are used now. */
const UNUSED_AFTER_MS = 7 * 24 * 60 * 60 * 1000;
const JOURNALS_KEPT = 100;

/**
 * Removes old releases, layers that none of the others needs, and what else is left of earlier deploys. Never what runs, nor what an undo
 * would go back to.
 */
export function prune(layout: Layout): { readonly removed: readonly string[] } {
  const latest = new Set(listGood(readState(layout)).reverse());
  const needed = new Set([...latest].slice(0, RELEASES_KEPT));
  const current = readCurrent(layout);
  if (current !== null) needed.add(current);
  const releases = list(layout.releases);
  const layers = new Set<string>();
  for (const id of releases.filter((name) => needed.has(name))) {
    const parts = readJson<ReleaseParts>(join(layout.release(id), PARTS));
    if (parts !== null) for (const layer of [parts.app, parts.modules]) layers.add(layer);
  }
  const removed = [
    ...releases.filter((name) => !needed.has(name)).map((name) => join(layout.releases, name)),
    ...list(layout.layers)
      .filter((name) => !layers.has(name))
      .map((name) => join(layout.layers, name)),
  ];
  removed.push(...listUnused(layout), ...listOldJournals(layout));
  for (const path of removed) rmSync(path, { recursive: true });
  return { removed: removed.map((path) => path.slice(layout.root.length + 1)) };
}

function listUnused({ root }: Layout): string[] {
  const bases = join(root, 'base');
  const used = [realPath(join(bases, 'current')), dirname(fileURLToPath(import.meta.url))];
  // While one base takes the place of another, neither is unused.
  const isExchanged = existsSync(join(bases, 'exchanged-from'));
  return [...(isExchanged ? [] : children(bases)), ...children(join(root, 'tool'))].filter((path) => {
    const { mtimeMs, isFolder } = look(path);
    return isFolder && !used.includes(realPath(path)) && Date.now() - mtimeMs > UNUSED_AFTER_MS;
  });
}

/** They are named by when they began. */
function listOldJournals({ journal }: Layout): string[] {
  return children(journal).sort().slice(0, -JOURNALS_KEPT);
}

function look(path: string): { readonly mtimeMs: number; readonly isFolder: boolean } {
  const found = lstatSync(path);
  return { mtimeMs: found.mtimeMs, isFolder: found.isDirectory() };
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

function children(folder: string): string[] {
  return list(folder).map((name) => join(folder, name));
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
