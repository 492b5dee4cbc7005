// Proves that the import rules in biome.json fire: each sample is a file that breaks one, linted in a folder of its own,
// next to files of the same kind that keep them. The rules match by path, so a wrong pattern would fail silently.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';

interface Sample {
  readonly file: string;
  readonly source: string;
  readonly broken: string | null;
}

const IMPORTS = 'lint/style/noRestrictedImports';
const GLOBALS = 'lint/style/noRestrictedGlobals';

function importing(file: string, specifier: string, broken: string | null): Sample {
  return { file, source: `import { a } from '${specifier}';\nexport const b = a;\n`, broken };
}

const features = ['links', 'clicks', 'stats', 'fleet', 'guard', 'health', 'jobs', 'settings', 'auth'];

/** Features do not know each other, but for these: a statistic is about clicks, and hosts of a fleet share links and clicks. */
const KNOWN = ['stats clicks', 'fleet links', 'fleet clicks'];

function importingFeature(feature: string, other: string): Sample[] {
  if (feature === other) return [];
  const broken = KNOWN.includes(`${feature} ${other}`) ? null : IMPORTS;
  return [
    importing(`app/${feature}/import-${other}.ts`, `../${other}/a.ts`, broken),
    importing(`app/${feature}/import-${other}-part.ts`, `../${other}/deep/a.ts`, broken),
    importing(`app/${feature}/deep/import-${other}.ts`, `../../${other}/a.ts`, broken),
  ];
}

const samples: readonly Sample[] = [
  ...features.flatMap((feature) => [
    importing(`app/${feature}/express.ts`, 'express', IMPORTS),
    importing(`app/${feature}/better-sqlite3.ts`, 'better-sqlite3', IMPORTS),
    importing(`app/${feature}/kysely.ts`, 'kysely', IMPORTS),
    importing(`app/${feature}/pg.ts`, 'pg', IMPORTS),
    importing(`app/${feature}/store.ts`, '../store/a.ts', IMPORTS),
    importing(`app/${feature}/http.ts`, '../http/a.ts', IMPORTS),
    importing(`app/${feature}/deep/store.ts`, '../../store/sqlite/a.ts', IMPORTS),
    importing(`app/${feature}/context.ts`, '../context.ts', IMPORTS),
    importing(`app/${feature}/config.ts`, '../config.ts', IMPORTS),
    importing(`app/${feature}/deep/log.ts`, '../../log.ts', IMPORTS),
    importing(`app/${feature}/devops.ts`, '../../devops/a.ts', IMPORTS),
    importing(`app/${feature}/scripts.ts`, '../../scripts/a.ts', IMPORTS),
    importing(`app/${feature}/process-module.ts`, 'node:process', IMPORTS),
    importing(`app/${feature}/kernel.ts`, '../kernel/a.ts', null),
    importing(`app/${feature}/deep/kernel.ts`, '../../kernel/a.ts', null),
    importing(`app/${feature}/deep/own.ts`, '../a.ts', null),
    importing(`app/${feature}/own.ts`, './deep/a.ts', null),
    ...features.flatMap((other) => importingFeature(feature, other)),
  ]),
  importing('app/kernel/feature.ts', '../links/a.ts', IMPORTS),
  importing('app/kernel/config.ts', '../config.ts', IMPORTS),
  importing('app/kernel/kernel.ts', './a.ts', null),
  importing('app/http/store.ts', '../store/a.ts', IMPORTS),
  importing('app/http/driver.ts', 'better-sqlite3', IMPORTS),
  importing('app/http/context.ts', '../context.ts', IMPORTS),
  importing('app/http/routes/main.ts', '../../main.ts', IMPORTS),
  importing('app/http/express.ts', 'express', null),
  importing('app/http/feature.ts', '../links/a.ts', null),
  importing('app/store/http.ts', '../http/a.ts', IMPORTS),
  importing('app/store/express.ts', 'express', IMPORTS),
  importing('app/store/sqlite/context.ts', '../../context.ts', IMPORTS),
  importing('app/store/driver.ts', 'better-sqlite3', null),
  importing('app/store/feature.ts', '../links/a.ts', null),
  importing('app/config.ts', './store/a.ts', IMPORTS),
  importing('app/greeting.ts', './links/a.ts', null),
  importing('app/log.ts', './config.ts', null),
  importing('app/context.ts', './store/a.ts', null),
  importing('app/main.ts', './http/a.ts', null),
  importing('app/main-test.ts', '../test/support/a.ts', IMPORTS),
  importing('devops/roll/feature.ts', '../../app/links/a.ts', IMPORTS),
  importing('devops/roll/kernel.ts', '../../app/kernel/a.ts', null),
  importing('devops/roll/config.ts', '../../app/config.ts', null),
  importing('devops/roll/main.ts', '../../app/main.ts', IMPORTS),
  importing('devops/roll/scripts.ts', '../../scripts/a.ts', IMPORTS),
  importing('scripts/everything.ts', '../devops/roll/a.ts', null),
  importing('test/unit/everything.ts', '../../scripts/a.ts', null),
  { file: 'app/links/process.ts', source: 'export const a = process.pid;\n', broken: GLOBALS },
  { file: 'app/links/global.ts', source: 'export const a = globalThis.process.pid;\n', broken: GLOBALS },
  { file: 'devops/roll/process.ts', source: 'export const a = process.pid;\n', broken: GLOBALS },
  { file: 'scripts/process.ts', source: 'export const a = process.pid;\n', broken: null },
  importing('app/links/dev-only.ts', 'fast-check', 'lint/correctness/noUndeclaredDependencies'),
  importing('app/stats/one.ts', './two.ts', 'lint/suspicious/noImportCycles'),
  {
    file: 'app/stats/two.ts',
    source: "import { b } from './one.ts';\nexport const a = b;\n",
    broken: 'lint/suspicious/noImportCycles',
  },
  {
    file: 'app/links/index.ts',
    source: "export { a } from './a.ts';\n",
    broken: 'lint/performance/noBarrelFile',
  },
  { file: 'app/links/lazy.ts', source: "export const a = import('../store/a.ts');\n", broken: IMPORTS },
  {
    file: 'app/links/type.ts',
    source: "import type { A } from '../store/a.ts';\nexport type B = A;\n",
    broken: IMPORTS,
  },
];

t.test('every sample breaks the rule it is meant to break, and no other sample breaks any', async (t) => {
  const folder = t.testdir();
  for (const name of ['biome.json', 'package.json', '.gitignore']) {
    cpSync(name, join(folder, name));
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  for (const { file, source } of samples) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    writeFileSync(join(folder, file), source);
  }

  const found = await lint(folder);

  for (const { file, broken } of samples) {
    const rules = found.get(file) ?? [];
    if (broken === null) {
      t.same(rules, [], `${file} is allowed`);
    } else {
      t.ok(rules.includes(broken), `${file} breaks ${broken}`, { rules });
    }
  }
});

// Coverage only knows of modules that were loaded: without this, a file that no test imports would count as covered.
t.test('every module but the entry point can be imported by itself', async (t) => {
  const modules = readdirSync('app', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && file !== 'main.ts')
    .map((file) => resolve('app', file));
  for (const module of modules) {
    await t.resolves(import(pathToFileURL(module).href), module);
  }
});

/** The rules that each file breaks, by its path relative to the folder. */
async function lint(folder: string): Promise<Map<string, string[]>> {
  const args = ['lint', '--reporter=json', '--max-diagnostics=none', '.'];
  const stdout = await new Promise<string>((done) => {
    execFile(resolve('node_modules/.bin/biome'), args, { cwd: folder }, (_error, output) => done(output));
  });
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { category: string; location: { path: string } }[];
  };
  const rules = new Map<string, string[]>();
  for (const { category, location } of diagnostics) {
    rules.set(location.path, [...new Set([...(rules.get(location.path) ?? []), category])]);
  }
  return rules;
}
