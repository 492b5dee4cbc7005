/** The last lines that the service wrote. */

import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from './layout.ts';

/** Why it does not start stands in the first one. */
const FILES = { 'fleetlink-error.log': 0.7, 'fleetlink-out.log': 0.3 };
const BYTES_MAX = 64 * 1024;
/** Told at once; the next question tells what is behind it. */
const PART_MAX = 1024 * 1024;

/** What was written since: of each file as many bytes as were told last, and how long it is now. */
export interface LogPart {
  readonly lines: readonly string[];
  /** By file. */
  readonly at: Readonly<Record<string, number>>;
}

/** The last `lines` of all files together where nothing was told before, else what is behind it. */
export function readLogs(
  layout: Layout,
  { lines, after }: { readonly lines: number; readonly after: LogPart['at'] | null },
): LogPart {
  const at: Record<string, number> = {};
  const found = Object.keys(FILES).flatMap((name) => {
    const path = join(layout.logs, name);
    const { size, text } = readFrom(path, after?.[name] ?? null);
    at[name] = size - Buffer.byteLength(text.slice(text.lastIndexOf('\n') + 1));
    const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    return whole.filter((line) => line !== '');
  });
  return { lines: after === null ? found.slice(-lines) : found, at };
}

/** Of a file that was begun anew from its beginning on; null: its last part. */
function readFrom(path: string, from: number | null): { size: number; text: string } {
  if (!existsSync(path)) return { size: 0, text: '' };
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const begin = from === null || from > size ? Math.max(0, size - BYTES_MAX) : from;
    const bytes = Buffer.alloc(Math.min(size - begin, PART_MAX));
    const read = readSync(file, bytes, 0, bytes.length, begin);
    return { size: begin + read, text: bytes.subarray(0, read).toString('utf8') };
  } finally {
    closeSync(file);
  }
}

export function readTail(layout: Layout, lines = 15): string[] {
  return Object.entries(FILES).flatMap(([name, share]) =>
    tailOf(join(layout.logs, name), Math.ceil(lines * share)),
  );
}

function tailOf(path: string, lines: number): string[] {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    // It was never written to.
    return [];
  }
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, BYTES_MAX));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .slice(-lines);
  } finally {
    closeSync(file);
  }
}
