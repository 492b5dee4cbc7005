// The loader hook behind strip-types.mjs, in a file of its own because Node runs hooks in another thread. It is the
// stripper that Node itself carries, and refuses all syntax that would need more than blanking (enums, namespaces). What it made of a
// source is kept under the hash of that, which is half of the start of a command.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';

const STRIPPER = '@swc/wasm-typescript';
const { version } = createRequire(import.meta.url)(`${STRIPPER}/package.json`);
const KEPT = fileURLToPath(new URL('../node_modules/.cache/strip-types', import.meta.url));

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) {
    return nextLoad(url, context);
  }
  const loaded = await nextLoad(url, { ...context, format: 'module' });
  return { ...loaded, source: await strip(String(loaded.source), fileURLToPath(url)) };
}

async function strip(source, filename) {
  const name = `${createHash('sha256').update(`${version}\n${source}`).digest('hex')}.js`;
  const kept = readKept(name);
  if (kept !== null) return kept;
  const { transformSync } = await import(STRIPPER);
  const { code } = transformSync(source, { mode: 'strip-only', module: true, filename });
  keep(name, code);
  return code;
}

function readKept(name) {
  try {
    return readFileSync(join(KEPT, name), 'utf8');
  } catch {
    // It is the first time.
    return null;
  }
}

function keep(name, code) {
  try {
    mkdirSync(KEPT, { recursive: true });
    const mine = join(KEPT, `${name}.${process.pid}.${threadId}`);
    writeFileSync(mine, code);
    renameSync(mine, join(KEPT, name));
  } catch {
    // A folder that is not ours, or a full disk: it is stripped each time.
  }
}
