// `npm run check`: everything that can be judged without running the program. All steps run, also after one has failed;
// each gets one line with its time, and at the end stands what failed, with the words of the tool.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { styleText } from 'node:util';

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Outcome extends Step {
  readonly passed: boolean;
  readonly output: string;
}

// The rules that keep the layout: who may import whom, and who may touch the process.
const importRules = [
  'style/noRestrictedImports',
  'style/noRestrictedGlobals',
  'suspicious/noImportCycles',
  'performance/noBarrelFile',
  'correctness/noUndeclaredDependencies',
];

const steps: readonly Step[] = [
  { name: 'format', command: 'biome', args: ['check', '--linter-enabled=false', '--error-on-warnings', '.'] },
  { name: 'lint', command: 'biome', args: lintArgs('skip') },
  { name: 'import rules', command: 'biome', args: lintArgs('only') },
  { name: 'types', command: 'tsc', args: ['--noEmit', '--pretty', 'false'] },
  { name: 'secrets', command: 'secretlint', args: ['--no-glob', ...ownFiles()] },
];

const failed: Outcome[] = [];
for (const step of steps) {
  const startedAt = performance.now();
  const outcome = await run(step);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${verdict(outcome.passed)}  ${step.name.padEnd(14)}${seconds.padStart(5)} s`);
  if (!outcome.passed) {
    failed.push(outcome);
  }
}

for (const { name, command, args, output } of failed) {
  console.log(`\n--- ${name}: ${[command, ...args].join(' ').slice(0, 100)}\n${output.trimEnd()}`);
}
if (failed.length > 0) {
  console.log(`\n${verdict(false)}: ${failed.map(({ name }) => name).join(', ')}`);
  process.exitCode = 1;
}

function lintArgs(selection: 'only' | 'skip'): string[] {
  return ['lint', '--error-on-warnings', ...importRules.map((rule) => `--${selection}=${rule}`), '.'];
}

/** What git tracks or would track. Outside a checkout there is nobody to commit a secret. */
function ownFiles(): string[] {
  const git = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  });
  const files = git.status === 0 ? git.stdout.split('\0').filter((file) => file !== '') : [];
  return files.length > 0 ? files : ['package.json'];
}

async function run(step: Step): Promise<Outcome> {
  const child = spawn(`node_modules/.bin/${step.command}`, step.args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [code] = await once(child, 'close');
  return { ...step, output, passed: code === 0 };
}

function verdict(passed: boolean): string {
  return passed ? styleText('green', 'passed') : styleText('red', 'FAILED');
}
