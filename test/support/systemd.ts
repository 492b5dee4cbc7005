/**
 * A systemd of a test's own: the first process of a namespace, with the targets of this machine and none of its services, so that it
 * starts nothing but the units it is given.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { makeFolder } from './service.ts';
import { until } from './until.ts';

export interface Systemd {
  /** Runs a command beside it. What it said, however it ended; what it leaves running must not hold its output. */
  run(...argv: readonly string[]): string;
}

const COMMAND_MS = 60_000;
const UP_MS = 10_000;

/** Null: this machine does not let it be the first process of a namespace. Needs root. */
export async function startSystemd(
  t: Test,
  units: Readonly<Record<string, string>>,
): Promise<Systemd | null> {
  const folder = makeFolder(t);
  for (const [name, text] of Object.entries(units)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, 'test.target'), '[Unit]\nDescription=Nothing else\nDefaultDependencies=no\n');
  const script = `set -e
mount --make-rprivate /
mkdir ${folder}/targets
cp /lib/systemd/system/*.target /lib/systemd/system/*.slice ${folder}/targets
mount -t tmpfs run /run
mount -t tmpfs units /etc/systemd/system
mount -t tmpfs targets /lib/systemd/system
mount -t tmpfs generators /lib/systemd/system-generators
cp ${folder}/targets/* /lib/systemd/system/
cp ${Object.keys(units)
    .map((name) => join(folder, name))
    .join(' ')} ${folder}/test.target /etc/systemd/system/
ip link set lo up
mount -t proc proc /proc
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=test.target --show-status=0`;
  const spaces = ['--pid', '--fork', '--mount', '--uts', '--ipc', '--cgroup', '--net', '--kill-child'];
  const child = spawn('unshare', [...spaces, 'sh', '-c', script], { stdio: 'ignore' });
  // With it ends all that runs in there.
  t.teardown(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const run = (...argv: readonly string[]): string => {
    const enter = ['-t', firstOf(child), '-p', '-m', '-u', '-i', '-n', ...argv];
    return spawnSync('nsenter', enter, {
      encoding: 'utf8',
      timeout: COMMAND_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).stdout;
  };
  try {
    await until('systemd answers', () => run('systemctl', 'is-active', 'test.target') === 'active\n', UP_MS);
  } catch {
    return null;
  }
  return { run };
}

/** The number of the first process of its namespace, as it is seen from here. */
function firstOf({ pid }: ChildProcess): string {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
}
