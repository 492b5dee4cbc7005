/** Which statements SQLite runs, whoever prepared them: for tests that hold how many a request may cost. */

import Database from 'better-sqlite3';

const METHODS = ['run', 'get', 'all', 'iterate'] as const;
type Method = (...args: unknown[]) => unknown;

/** The texts of all statements that this process runs until `work` is done, in their order. */
export async function recordStatements(work: () => Promise<unknown>): Promise<string[]> {
  const texts: string[] = [];
  const sample = new Database(':memory:');
  const prototype = Object.getPrototypeOf(sample.prepare('select 1')) as Record<string, Method>;
  sample.close();
  const originals = METHODS.map((name) => [name, prototype[name] as Method] as const);
  for (const [name, original] of originals) {
    prototype[name] = function (this: { source: string }, ...args) {
      texts.push(this.source);
      return original.apply(this, args);
    };
  }
  try {
    await work();
  } finally {
    for (const [name, original] of originals) prototype[name] = original;
  }
  return texts;
}
