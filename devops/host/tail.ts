/** The last lines that the service wrote. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from './layout.ts';

/** Why it does not start stands in the first one. */
const FILES = { 'fleetlink-error.log': 0.7, 'fleetlink-out.log': 0.3 };
const BYTES_MAX = 64 * 1024;

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
