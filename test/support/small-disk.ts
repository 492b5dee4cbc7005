/** A disk that can be filled, made read-only and emptied again: a small file system in memory. Needs the right to mount. */

import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { makeFolder } from './service.ts';

export interface SmallDisk {
  readonly path: string;
  /** Leaves no byte free. */
  fill(): void;
  /** Takes away what `fill` wrote. */
  free(): void;
  makeReadOnly(): void;
}

/** Null where nothing may be mounted; then the test `t` has been ended, and its caller returns. */
export function mountSmallDisk(t: Test, sizeKb: number): SmallDisk | null {
  const path = makeFolder(t);
  const options = `size=${sizeKb}k,uid=${process.getuid?.() ?? 0},mode=700`;
  if (!runAsRoot(['mount', '-t', 'tmpfs', '-o', options, 'fleetlink-test', path])) {
    const reason = 'mounting a small disk needs root or sudo without a password';
    if (process.env.REQUIRE_ALL === '1') t.fail(`${reason}, and REQUIRE_ALL=1 allows no skipped suite`);
    else {
      process.stderr.write(`!!! SKIPPED: ${reason}\n`);
      t.plan(0, reason);
    }
    return null;
  }
  // Lazily, because a process that a failed test leaves behind may still have files open there.
  t.teardown(() => runAsRoot(['umount', '--lazy', path]));
  const filler = join(path, 'filler');
  return {
    path,
    fill: () => writeUntilFull(filler),
    free: () => rmSync(filler),
    makeReadOnly: () => void runAsRoot(['mount', '-o', 'remount,ro', path]),
  };
}

function runAsRoot(argv: readonly string[]): boolean {
  const [command = '', ...args] = process.getuid?.() === 0 ? argv : ['sudo', '-n', ...argv];
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function writeUntilFull(path: string): void {
  for (let chunk = Buffer.alloc(64 * 1024); chunk.length > 0; ) {
    try {
      writeFileSync(path, chunk, { flag: 'a' });
    } catch {
      // Full for this much; perhaps not for less.
      chunk = chunk.subarray(0, chunk.length >> 1);
    }
  }
}
