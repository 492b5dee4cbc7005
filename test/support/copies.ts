/** A host's copy of the links, as a file. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The one copy in this folder. */
export function findCopy(dataDir: string): string {
  const names = readdirSync(dataDir).filter((name) => /^copy-[0-9a-f]+\.db$/.test(name));
  if (names.length !== 1) throw new Error(`${dataDir} has ${names.length} copies`);
  return join(dataDir, names[0] as string);
}
