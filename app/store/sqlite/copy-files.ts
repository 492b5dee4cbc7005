/** Where a host's copies of links lie: one for each database, so that processes of different DATABASE_URLs never share one. */

import { createHash } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DAY_MS } from '../../clicks/visitor.ts';

const COPY_FILE = /^copy(-[0-9a-f]{12})?\.db(-wal|-shm)?$/;
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
  const others = readdirSync(dataDir).filter(
    (name) => COPY_FILE.test(name) && !join(dataDir, name).startsWith(ownPath),
  );
  for (const name of others) {
    const path = join(dataDir, name);
    const modifiedAtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs;
    if (nowMs - modifiedAtMs > KEPT_MS) rmSync(path, { force: true });
  }
}
