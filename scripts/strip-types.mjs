// Lets Node run our TypeScript as it stands: `node --import ./scripts/strip-types.mjs app/main.ts`. Where Node strips
// types itself (22.18 and later) this does nothing, elsewhere it does the same through a loader hook. Types become
// blanks, so every remaining character keeps its place: V8's coverage needs no source map, and the bar of 100 % is
// exact. With transpilers that print the code anew (tsx among them) c8 reads an empty map and calls everything covered.
import { existsSync } from 'node:fs';
import { register } from 'node:module';

if (!process.features.typescript) {
  if (!existsSync(new URL('../node_modules/@swc/wasm-typescript', import.meta.url))) {
    console.error('Nothing is installed yet. Begin with: npm ci');
    process.exit(1);
  }
  register('./strip-types-hook.mjs', import.meta.url);
}
