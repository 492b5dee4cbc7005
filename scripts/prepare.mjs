// Runs at the end of `npm ci`: builds tap with our set of plugins and installs the commit hooks. Both are for people
// who work on the code, so each is left out where it makes no sense: without development packages, outside a git
// checkout, under CI. Nothing here may fail an installation.
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';

const hooksPath = 'scripts/git-hooks';

if (existsSync('node_modules/.bin/tap')) {
  buildTap();
  if (!process.env.CI && isTopOfWorkTree()) {
    installHooks();
  }
}

function buildTap() {
  const { status, stderr } = run('node_modules/.bin/tap', ['build']);
  if (status !== 0) {
    // tap builds itself again when it runs, and will then fail with the same words.
    console.error(`tap build failed: ${stderr}`);
  }
}

/** A checkout that contains this folder as a part of something else keeps its own hooks. */
function isTopOfWorkTree() {
  const { status, stdout } = run('git', ['rev-parse', '--show-toplevel']);
  return status === 0 && realpathSync(stdout.trim()) === realpathSync('.');
}

function installHooks() {
  const isUnset = run('git', ['config', '--get', 'core.hooksPath']).status === 1;
  if (isUnset) {
    run('git', ['config', 'core.hooksPath', hooksPath]);
  }
}

function run(command, args) {
  return spawnSync(command, args, { encoding: 'utf8' });
}
