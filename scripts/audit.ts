// `npm run audit -- --env staging`: what deploys from this machine did, as Markdown, the latest last. `--verify` looks only whether each
// journal holds together.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Entry, JournalError, readJournal } from '../devops/audit/journal.ts';
import { reportDeploy } from '../devops/audit/report.ts';
import { ManifestError, readManifest } from '../devops/manifest/read-manifest.ts';
import { readArguments } from './arguments.ts';
import { ENVIRONMENTS, journalsOf } from './deploy-places.ts';

const EXIT = { damaged: 1, usage: 64 };
const given = readArguments('npm run audit -- --env NAME [--deploy ID] [--last 10] [--verify]', {
  env: { type: 'string' },
  deploy: { type: 'string' },
  last: { type: 'string', default: '10' },
  verify: { type: 'boolean', default: false },
});
const { values } = given;
const last = Number(values.last);
if (!Number.isInteger(last) || last < 1) given.fail(`--last ${values.last}: expected a whole number from 1.`);
try {
  const environment = given.environment();
  readManifest(ENVIRONMENTS, environment);
  const folder = journalsOf(environment);
  const names = (existsSync(folder) ? readdirSync(folder) : [])
    .filter(
      (name) => name.endsWith('.jsonl') && (values.deploy === undefined || name === `${values.deploy}.jsonl`),
    )
    .sort()
    .slice(values.verify ? 0 : -last);
  if (names.length === 0 && values.deploy !== undefined)
    throw new ManifestError(
      `There is no deploy ${values.deploy} of ${environment} here. Without --deploy the last ones are shown.`,
    );
  if (names.length === 0) console.log('No deploy was made from here.');
  for (const name of names) show(name, join(folder, name));
} catch (error) {
  if (!(error instanceof ManifestError)) throw error;
  console.error(error.message);
  process.exitCode = EXIT.usage;
}

function show(name: string, path: string): void {
  let entries: readonly Entry[];
  try {
    entries = readJournal(readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    console.error(`✗ ${name}: ${error.message}`);
    process.exitCode = EXIT.damaged;
    return;
  }
  console.log(values.verify ? `✓ ${name}: ${entries.length} lines` : reportDeploy(entries));
}
