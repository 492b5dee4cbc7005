/** The files of a commit, as they are in git; or of the folder as it lies here, for who asks for that. */

import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BuildError } from './npm.ts';

export interface Source {
  readonly folder: string;
  readonly commit: string;
  readonly committedAtMs: number;
  /** Files that git does not know as they are here, and that are in the release. */
  readonly isDirty: boolean;
  remove(): void;
}

/** Throws BuildError where there are changes and `allowDirty` is not given. */
export async function takeSource(
  repository: string,
  { allowDirty }: { readonly allowDirty: boolean },
): Promise<Source> {
  const git = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('git', ['-C', repository, ...args], {
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  };
  const changed = (await git('status', '--porcelain')).split('\n').filter((line) => line !== '');
  if (changed.length > 0 && !allowDirty) {
    const named = changed.slice(0, 5).join('\n  ');
    throw new BuildError(
      `There are changes that are not committed:\n  ${named}${changed.length > 5 ? `\n  … ${changed.length - 5} more` : ''}\nCommit them, or deploy them as they are with --allow-dirty.`,
    );
  }
  const commit = (await git('rev-parse', 'HEAD')).trim();
  const committedAtMs = Number(await git('show', '-s', '--format=%ct', commit)) * 1000;
  const folder = mkdtempSync(join(tmpdir(), 'fleetlink-source-'));
  if (changed.length === 0) await exportCommit(repository, { commit, folder });
  else copyFiles(repository, folder);
  return {
    folder,
    commit,
    committedAtMs,
    isDirty: changed.length > 0,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function exportCommit(
  repository: string,
  { commit, folder }: { commit: string; folder: string },
): Promise<void> {
  const archive = `${folder}.tar`;
  const run = promisify(execFile);
  try {
    await run('git', ['-C', repository, 'archive', '--output', archive, commit]);
    await run('tar', ['-xf', archive, '-C', folder]);
  } finally {
    rmSync(archive, { force: true });
  }
}

function copyFiles(repository: string, folder: string): void {
  const names = execFileSync(
    'git',
    ['-C', repository, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  for (const name of names.split('\0').filter((one) => one !== '')) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    // One that was removed and not committed is not there.
    try {
      cpSync(join(repository, name), join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
