// Owns one promise of the build: dist/ holds nothing that app/ no longer has. The compiler leaves the output of a
// deleted or renamed source behind, and a stale migration or asset would be found by whatever lists its folder.
// Plain JavaScript, because `npm start` pays for its start-up each time.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const emitted = readdirSync('dist', { recursive: true }).map(String);

for (const file of emitted) {
  const source = file.match(/^(.+)\.js(?:\.map)?$/)?.[1];
  if (source !== undefined && !existsSync(join('app', `${source}.ts`))) {
    rmSync(join('dist', file));
  }
}
