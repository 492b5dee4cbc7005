/**
 * Counts the statements that a test makes SQLite run, by file: an endpoint must not run one for each link that it shows. They
 * are seen where every connection's statements come from, whoever prepared them.
 */

import { basename } from 'node:path';
import Database from 'better-sqlite3';
import type { Test } from 'tap';

export interface RanStatement {
  /** Such as `links.db`. */
  readonly file: string;
  readonly sql: string;
}

export interface StatementWatch {
  /** What was run since the last call. */
  take(): RanStatement[];
}

const METHODS = ['run', 'get', 'all', 'iterate'] as const;

/** Watches until the test ends. */
export function watchStatements(t: Pick<Test, 'teardown'>): StatementWatch {
  const ran: RanStatement[] = [];
  const prototype = statementPrototype();
  for (const method of METHODS) {
    const original = prototype[method] as (...args: unknown[]) => unknown;
    prototype[method] = function (this: Database.Statement, ...args: unknown[]) {
      ran.push({ file: basename(this.database.name), sql: this.source });
      return original.apply(this, args);
    };
    t.teardown(() => {
      prototype[method] = original;
    });
  }
  return { take: () => ran.splice(0) };
}

/** All statements share one. */
function statementPrototype(): Record<(typeof METHODS)[number], unknown> {
  const db = new Database(':memory:');
  try {
    return Object.getPrototypeOf(db.prepare('select 1'));
  } finally {
    db.close();
  }
}
