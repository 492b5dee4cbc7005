// The loader hook behind strip-types.mjs, in a file of its own because Node runs hooks in another thread. It is the
// stripper that Node itself carries, and refuses all syntax that would need more than blanking (enums, namespaces).
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/wasm-typescript';

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) {
    return nextLoad(url, context);
  }
  const loaded = await nextLoad(url, { ...context, format: 'module' });
  const options = { mode: 'strip-only', module: true, filename: fileURLToPath(url) };
  return { ...loaded, source: transformSync(String(loaded.source), options).code };
}
