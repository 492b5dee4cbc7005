// `npm run fleet` that is stopped while it starts: whatever it has begun ends with it, and nothing is left.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../scripts/processes.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

const SCRIPT = ['--import', './scripts/strip-types.mjs', 'scripts/fleet.ts'];

/** The command lines of processes that work in this folder. */
function listWorkers(folder: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(readCommandLine).filter((line) => line.includes(folder));
}

/** Empty: it has ended meanwhile. */
function readCommandLine(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
  } catch {
    return '';
  }
}

async function main(): Promise<void> {
  for (const [who, toPid] of [
    ['by its number', (pid: number) => pid],
    ['by Ctrl-C, with all that share its terminal', (pid: number) => -pid],
  ] as const) {
    await t.test(`stopped ${who} while the database is made, it leaves nothing`, async (t) => {
      const folder = makeFolder(t);
      // PostgreSQL runs as somebody else where the tests run as root.
      chmodSync(folder, 0o755);
      const args = [...SCRIPT, '--hosts', '1', '--port', String(await findFreePort())];
      const env = { ...process.env, TMPDIR: folder };
      const child = spawn(process.execPath, args, { env, stdio: 'ignore', detached: true });
      const ended = once(child, 'exit');
      await until('the database is made', () => listWorkers(folder).some((line) => line.includes('initdb')));
      process.kill(toPid(child.pid as number), 'SIGINT');
      t.same(await ended, [0, null]);
      t.same(readdirSync(folder), []);
      t.same(listWorkers(folder), []);
    });
  }
}

if (requireCommand(t, 'initdb') && requireCommand(t, 'haproxy')) await main();
