/** The program that answers on a host (host/), as an archive that goes along: plain JavaScript for whatever Node the base has. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { transformSync } from '@swc/wasm-typescript';
import { type Archive, archiveOnce, hashOf, listFiles } from './archive.ts';

export function buildTool(cache: string, hostFolder: string): Promise<Archive> {
  const programs = listFiles(hostFolder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => [name, readFileSync(join(hostFolder, name), 'utf8')] as const);
  const id = `tool-${hashOf(...programs.flat())}`;
  return archiveOnce(cache, id, async () => {
    // Half of the start of a command, and mostly not needed.
    const { transformSync: strip } = await import('@swc/wasm-typescript');
    const folder = mkdtempSync(join(tmpdir(), 'fleetlink-tool-'));
    for (const [name, text] of programs)
      writeFileSync(join(folder, name.replace(/\.ts$/, '.js')), toJavaScript(text, strip));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}\n');
    return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
  });
}

/** Types become blanks, so that a stack names the lines of the sources. */
function toJavaScript(text: string, strip: typeof transformSync): string {
  const { code } = strip(text, { mode: 'strip-only' });
  return code.replace(/( from '\.\/[\w-]+)\.ts';/g, "$1.js';");
}
