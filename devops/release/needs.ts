/** What the binaries of a release need of a host, read from the binaries themselves. */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { list } from 'tar';
import type { Archive } from './archive.ts';

export interface Needs {
  /** The newest glibc that a symbol is asked of, as `2.34`; null: none is. */
  readonly glibc: string | null;
}

/** Compiled modules, and Node itself. */
const BINARY = /(?:\.node|\/bin\/node)$/;
/** As it stands in the table of needed versions of an ELF file, and nowhere else that matters. */
const VERSION = /GLIBC_(\d+\.\d+)/g;

/** Of the files in archives; each is read once and a note left beside it. */
export async function readNeeds(archives: readonly Pick<Archive, 'file'>[]): Promise<Needs> {
  const versions = await Promise.all(archives.map(({ file }) => readNoted(file)));
  return { glibc: versions.reduce(newer, null) };
}

async function readNoted(file: string): Promise<string | null> {
  const note = `${file}.needs`;
  if (!existsSync(note)) {
    writeFileSync(`${note}.new`, JSON.stringify(await readGlibc(file)));
    renameSync(`${note}.new`, note);
  }
  return JSON.parse(readFileSync(note, 'utf8')) as string | null;
}

async function readGlibc(file: string): Promise<string | null> {
  let newest: string | null = null;
  await list({
    file,
    filter: (path) => BINARY.test(path),
    onReadEntry(entry) {
      let before = '';
      entry.on('data', (chunk: Buffer) => {
        // A name may lie across two chunks.
        const text = before + chunk.toString('latin1');
        for (const [, version = ''] of text.matchAll(VERSION)) newest = newer(newest, version);
        before = text.slice(-16);
      });
    },
  });
  return newest;
}

function newer(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other;
  return compareVersions(one, other) < 0 ? other : one;
}

/** By numbers: 2.9 is before 2.34. */
export function compareVersions(one: string, other: string): number {
  const [ones, others] = [one, other].map((version) => version.split('.').map(Number)) as [
    number[],
    number[],
  ];
  const index = ones.findIndex((part, at) => part !== (others[at] ?? 0));
  return index === -1 ? ones.length - others.length : (ones[index] as number) - (others[index] ?? 0);
}
