// What a benchmark ran on, for whoever reads its figures later.
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';

export interface Machine {
  readonly processors: string;
  readonly memory: string;
  readonly node: string;
  /** The commit, and whether the tree had changes beside it. */
  readonly commit: string;
}

export function describeMachine(): Machine {
  const models = cpus().map(({ model }) => model);
  return {
    processors: `${models.length} × ${models[0]}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    commit: git('describe', '--always', '--dirty', '--exclude', '*'),
  };
}

function git(...args: string[]): string {
  return execFileSync('git', args, { encoding: 'utf8' }).trim();
}
