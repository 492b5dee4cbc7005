// Writes README's configuration table from app/config.ts; with --check it only says whether the table is right.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { replaceConfigTable } from './readme/config-table.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const path = new URL('../README.md', import.meta.url);
const before = readFileSync(path, 'utf8');
const after = replaceConfigTable(before);

if (before === after) {
  console.log('README.md is up to date.');
} else if (values.check) {
  console.error('README.md does not tell what app/config.ts says. Run `npm run readme`.');
  process.exitCode = 1;
} else {
  writeFileSync(path, after);
  console.log('README.md was updated.');
}
