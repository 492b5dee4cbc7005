/** Where a host's copies of links lie: one for each database, so that processes of different DATABASE_URLs never share one. */

import { createHash } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DAY_MS } from '../../clicks/visitor.ts';

const COPY_FILE = /^copy(-[0-9a-f]{12})?\.db(-wal|-shm)?$/;
const SUFFIXES = ['', '-wal', '-shm'];
/** A copy of another database that nobody has written for this long is given up. */
const KEPT_MS = 7 * DAY_MS;

/** The same for other passwords of one database. */
export function copyPathOf(dataDir: string, databaseUrl: string): string {
  const { host, pathname, search } = new URL(databaseUrl);
  const digest = createHash('sha256').update(`${host}${pathname}${search}`).digest('hex').slice(0, 12);
  return join(dataDir, `copy-${digest}.db`);
}

/** Removes the copies of databases that this host had before `ownPath`. */
export function removeOldCopies(dataDir: string, ownPath: string, nowMs: number): void {
  const names = readdirSync(dataDir).filter((name) => COPY_FILE.test(name));
  const copies = new Set(names.map((name) => join(dataDir, name.replace(/-(?:wal|shm)$/, ''))));
  copies.delete(ownPath);
  for (const copy of copies) {
    const files = SUFFIXES.map((suffix) => copy + suffix);
    // What is written last may be in any of them.
    const modifiedAtMs = Math.max(...files.map(readModifiedAtMs));
    if (nowMs - modifiedAtMs > KEPT_MS) for (const path of files) rmSync(path, { force: true });
  }
}

/** Minus infinity: it is not there. */
function readModifiedAtMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}
