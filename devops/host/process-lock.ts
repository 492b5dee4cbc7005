/**
 * A lock that goes with its process: a link that names it. To make a link where there is one fails, whoever is first; one whose process is
 * gone is taken away by one at a time.
 */

import { readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { readText } from './files.ts';

/** False: a process that lives has it, which may be this one. */
export function takeLock(path: string): boolean {
  if (makeLink(path)) return true;
  const before = readHolder(path);
  if (before === null) return makeLink(path);
  if (isAlive(before)) return false;
  const breaking = `${path}.breaking`;
  if (!makeLink(breaking)) {
    const breaker = readHolder(breaking);
    // Whoever was at it is gone: the next try is another one's.
    if (breaker !== null && !isAlive(breaker)) rmSync(breaking, { force: true });
    return false;
  }
  try {
    // Meanwhile somebody else may have done it.
    const now = readHolder(path);
    if (now !== null && isAlive(now)) return false;
    // While there is one nobody else can make it.
    if (now !== null) rmSync(path, { recursive: true, force: true });
    return makeLink(path);
  } finally {
    rmSync(breaking, { force: true });
  }
}

export function freeLock(path: string): void {
  rmSync(path, { force: true });
}

/** Of a process that lives; null: it is free. */
export function readLock(path: string): { readonly pid: number; readonly isOwn: boolean } | null {
  const holder = readHolder(path);
  if (holder === null || !isAlive(holder)) return null;
  const pid = Number.parseInt(holder, 10);
  return { pid, isOwn: pid === process.pid };
}

function makeLink(path: string): boolean {
  try {
    symlinkSync(`${process.pid} ${startedAt(process.pid)}`, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Null: it is free. Empty where something else lies there. */
function readHolder(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return '';
    throw error;
  }
}

function isAlive(holder: string): boolean {
  const [pid = '', started = ''] = holder.split(' ');
  if (!/^[1-9]\d*$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    // Of another user: it is there.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startedAt(Number(pid)) === started;
}

/** In ticks since the machine started, which tells a process from a later one with its number. Empty where nobody knows. */
function startedAt(pid: number): string {
  const fields = readText(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ') ?? [];
  return fields[19] ?? '';
}
