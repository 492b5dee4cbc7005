/** A PM2 of its own for one test: its daemon, its files and its logs are in a folder that goes with the test. */

import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { runNode } from './run-node.ts';
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
  const run = (...args: readonly string[]): Promise<string> =>
    runNode([resolve('node_modules/pm2/bin/pm2'), ...args], { ...env, PM2_HOME: home });
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
