/** A PM2 of its own for one test: its daemon, its files and its logs are in a folder that goes with the test. */

import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { makeFolder } from './service.ts';

export interface Pm2Process {
  readonly pid: number;
  readonly pm_id: number;
  readonly pm2_env: {
    readonly status: string;
    readonly restart_time: number;
    readonly unstable_restarts: number;
    readonly exec_mode: string;
    readonly axm_monitor: Readonly<Record<string, { readonly value: unknown; readonly unit: string }>>;
    readonly [name: string]: unknown;
  };
}

export interface Pm2 {
  readonly home: string;
  /** Throws when PM2 says that it failed; that it says nothing proves nothing. */
  run(...args: readonly string[]): Promise<string>;
  list(): Promise<Pm2Process[]>;
}

/** `env` is what the commands are typed in, and so what the apps get. */
export function createPm2(t: Test, env: NodeJS.ProcessEnv): Pm2 {
  const home = join(makeFolder(t), 'pm2');
  // tap's own loader has no business in the daemon, which would hand it on to every worker.
  const pm2Env: NodeJS.ProcessEnv = { ...env, PM2_HOME: home, NODE_OPTIONS: '' };
  const run = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [resolve('node_modules/pm2/bin/pm2'), ...args],
      {
        env: pm2Env,
        maxBuffer: 16 * 1024 * 1024,
      },
    );
    return stdout;
  };
  t.teardown(() => run('kill'));
  return {
    home,
    run,
    list: async () => {
      const output = await run('jlist');
      // A notice may precede the list.
      return JSON.parse(output.slice(output.indexOf('[{'))) as Pm2Process[];
    },
  };
}
