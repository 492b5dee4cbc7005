// `npm run setup`: makes a developer's machine ready, and says for each thing whether it was fine, was changed or could
// not be had. Running it again changes nothing. Plain JavaScript, because it has to run before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const hooksPath = 'scripts/git-hooks';
const tally = { ok: 0, changed: 0, failed: 0 };

task('Node version', nodeVersion);
task('compiler for native modules', compiler);
task('npm packages', packages);
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
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));
  const [, from, below] = engines.node.match(/^>=(\d+) <(\d+)$/).map(Number);
  const major = Number(process.versions.node.split('.')[0]);
  const isSupported = major >= from && major < below;
  return { state: isSupported ? 'ok' : 'failed', detail: `${process.version}, wanted ${engines.node}` };
}

function compiler() {
  const missing = ['gcc', 'g++', 'make', 'python3'].filter((command) => run(command, ['--version']) !== 0);
  if (missing.length === 0) {
    return { state: 'ok' };
  }
  return {
    state: 'failed',
    detail: `install ${missing.join(', ')}, on Debian: apt-get install build-essential python3`,
  };
}

function packages() {
  if (existsSync('node_modules/.package-lock.json')) {
    return { state: 'ok' };
  }
  const status = run('npm', ['ci', '--no-audit', '--no-fund'], 'inherit');
  return { state: status === 0 ? 'changed' : 'failed', detail: 'npm ci' };
}

function hooks() {
  if (run('git', ['rev-parse', '--is-inside-work-tree']) !== 0) {
    return { state: 'ok', detail: 'not a git checkout' };
  }
  const before = configuredHooks();
  if (before === hooksPath) {
    return { state: 'ok' };
  }
  if (before !== '') {
    return { state: 'failed', detail: `core.hooksPath is ${before}; set it to ${hooksPath}` };
  }
  const status = run('git', ['config', 'core.hooksPath', hooksPath]);
  return { state: status === 0 ? 'changed' : 'failed' };
}

function configuredHooks() {
  return spawnSync('git', ['config', '--get', 'core.hooksPath'], { encoding: 'utf8' }).stdout.trim();
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
