/** Archives that are the same whenever and wherever they are made of the same files. */

import { createHash, randomBytes } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { create } from 'tar';
import { writeAtomically } from '../host/files.ts';

/** A gzipped tar in the cache. */
export interface Archive {
  readonly id: string;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Any date: it is part of the archive. */
const FILES_DATE = new Date(0);

/** `id`: what the archive is made of; made once. `make` gives the folder to pack. */
export async function archiveOnce(
  cache: string,
  id: string,
  make: () => Promise<{ readonly folder: string; remove(): void }>,
): Promise<Archive> {
  const file = join(cache, `${id}.tgz`);
  const note = join(cache, `${id}.json`);
  if (!existsSync(note)) {
    mkdirSync(cache, { recursive: true });
    const made = await make();
    try {
      const sha256 = await pack(made.folder, file);
      writeAtomically(note, JSON.stringify({ sha256 }));
    } finally {
      made.remove();
    }
  }
  const { sha256 } = JSON.parse(readFileSync(note, 'utf8')) as { sha256: string };
  return { id, file, bytes: statSync(file).size, sha256 };
}

async function pack(folder: string, file: string): Promise<string> {
  // Another command may make the same.
  const incoming = `${file}.${randomBytes(4).toString('hex')}.new`;
  await create(
    {
      file: incoming,
      cwd: folder,
      gzip: { level: 6 },
      portable: true,
      mtime: FILES_DATE,
      noDirRecurse: true,
    },
    listFiles(folder),
  );
  renameSync(incoming, file);
  return hashFile(file);
}

/** In the order of their names. */
export function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

export async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Short, for names: 48 bits are enough to tell what one team ever builds. */
export function hashOf(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length} ${part} `);
  return hash.digest('hex').slice(0, 12);
}
