// `npm run setup`: makes a developer's machine ready, and says for each thing whether it was fine, was changed or could
// not be had. Running it again changes nothing. Plain JavaScript, because it has to run before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';

const hooksPath = 'scripts/git-hooks';
const tally = { ok: 0, changed: 0, failed: 0 };

task('Node version', nodeVersion);
task('npm packages', packages);
task('native modules', nativeModules);
task('commit hooks', hooks);
task('commands that suites need', suiteCommands);

console.log(`\nok=${tally.ok} changed=${tally.changed} failed=${tally.failed}`);
if (tally.failed === 0) {
  console.log(
    '\nNext:\n  npm start      serve on http://127.0.0.1:3000\n  npm test       run the suite\n  npm run check  format, lint, types, imports, secrets',
  );
} else {
  process.exitCode = 1;
}

/** A check answers { state, detail }; its state is one of the keys of `tally`. */
function task(name, check) {
  const { state, detail } = check();
  tally[state] += 1;
  console.log(`${`${state}:`.padEnd(9)}${name}${detail ? ` (${detail})` : ''}`);
}

function nodeVersion() {
  const { status, stdout } = spawnSync(process.execPath, ['scripts/node-version.mjs'], { encoding: 'utf8' });
  return { state: status === 0 ? 'ok' : 'failed', detail: stdout.trim() };
}

function packages() {
  if (areInstalled()) {
    return { state: 'ok' };
  }
  const status = run('npm', ['ci', '--no-audit', '--no-fund'], 'inherit');
  return { state: status === 0 ? 'changed' : 'failed', detail: 'npm ci' };
}

/** What is installed is what the lock file says, but for optional packages, which other platforms have. */
function areInstalled() {
  const installedLock = 'node_modules/.package-lock.json';
  if (!existsSync(installedLock)) {
    return false;
  }
  const { '': _, ...wanted } = readPackages('package-lock.json');
  const installed = readPackages(installedLock);
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => installed[path]?.version === version || (optional && !installed[path]),
  );
}

function readPackages(lock) {
  return JSON.parse(readFileSync(lock, 'utf8')).packages;
}

/** Judged by the result: where npm finds no binary for this Node it needs a compiler, elsewhere it does not. */
function nativeModules() {
  const program = "new (require('better-sqlite3'))(':memory:')";
  if (run(process.execPath, ['--input-type=commonjs', '-e', program]) === 0) {
    return { state: 'ok' };
  }
  const missing = ['gcc', 'g++', 'make', 'python3'].filter((command) => run(command, ['--version']) !== 0);
  const detail =
    missing.length === 0
      ? 'better-sqlite3 does not load; run npm rebuild better-sqlite3'
      : `install ${missing.join(', ')}, on Debian: apt-get install build-essential python3; then run npm ci`;
  return { state: 'failed', detail };
}

function hooks() {
  const top = gitSays(['rev-parse', '--show-toplevel']);
  if (top === '') {
    return { state: 'ok', detail: 'not a git checkout' };
  }
  // A checkout that contains this folder as a part of something else keeps its own hooks.
  if (realpathSync(top) !== realpathSync('.')) {
    return { state: 'ok', detail: `left to ${top}` };
  }
  const before = gitSays(['config', '--get', 'core.hooksPath']);
  if (before === hooksPath) {
    return { state: 'ok' };
  }
  if (before !== '') {
    return { state: 'failed', detail: `core.hooksPath is ${before}; set it to ${hooksPath}` };
  }
  const status = run('git', ['config', 'core.hooksPath', hooksPath]);
  return { state: status === 0 ? 'changed' : 'failed' };
}

/** Empty when git has no answer, or is not there. */
function gitSays(args) {
  return spawnSync('git', args, { encoding: 'utf8' }).stdout?.trim() ?? '';
}

function suiteCommands() {
  if (!existsSync('node_modules')) {
    return { state: 'failed', detail: 'needs the npm packages' };
  }
  const args = ['--import', './scripts/strip-types.mjs', 'scripts/pretest.ts'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, REQUIRE_ALL: '1' },
  });
  const detail = `${stdout}${stderr}`.trim().replaceAll('\n', '; ');
  if (status !== 0) {
    return { state: 'failed', detail };
  }
  return { state: detail === '' ? 'ok' : 'changed', detail };
}

function run(command, args, stdio = 'ignore') {
  return spawnSync(command, args, { stdio }).status;
}
