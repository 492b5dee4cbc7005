/** Files that are whole or absent, whenever the machine stops. */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, symlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export function writeAtomically(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.new`;
  const file = openSync(temporary, 'w', mode);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** Whoever opens `path` finds the old target or the new one. */
export function linkAtomically(path: string, target: string): void {
  const temporary = `${path}.${process.pid}.new`;
  symlinkSync(target, temporary);
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** Null: there is none. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Null: there is none. */
export function readJson<T>(path: string): T | null {
  const text = readText(path);
  return text === null ? null : (JSON.parse(text) as T);
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
