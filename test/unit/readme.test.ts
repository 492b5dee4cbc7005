import { readFileSync } from 'node:fs';
import t from 'tap';
import { replaceConfigTable } from '../../scripts/readme/config-table.ts';

t.test('the README has the configuration table that app/config.ts makes', async (t) => {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  t.equal(replaceConfigTable(text), text, 'run `npm run readme` after changing app/config.ts');
});
