/** Clicks and the file they are stored in, for tests of either. */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Test } from 'tap';
import type { Click } from '../../app/clicks/click.ts';
import type { JournalEntry } from '../../app/clicks/click-journal.ts';
import { REASON_NUMBERS } from '../../app/store/click-rows.ts';
import { createSqliteDialect } from '../../app/store/sqlite/dialect.ts';
import {
  type ClicksDb,
  type OpenClicksDbOptions,
  openClicksDb,
} from '../../app/store/sqlite/open-clicks-db.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';

export function clickOn(linkId: number, more: Partial<Click> = {}): Click {
  return {
    linkId,
    atMs: Date.UTC(2026, 0, 31, 12),
    reason: 'human',
    visitor: null,
    agent: null,
    referrer: null,
    language: null,
    country: null,
    ...more,
  };
}

/** An entry for each link, without quotas. */
export function entriesOn(...linkIds: number[]): JournalEntry[] {
  return linkIds.map((linkId) => ({ click: clickOn(linkId), quota: null }));
}

export interface TestClicksDb extends ClicksDb {
  readonly clock: FakeClock;
  /** What was told: files set aside, clicks that are missing. */
  readonly told: string[];
  readonly dataDir: string;
}

export async function openClicks(
  t: Test,
  options: Partial<OpenClicksDbOptions> & { dataDir: string; clock?: FakeClock },
): Promise<TestClicksDb> {
  const clock = options.clock ?? createFakeClock();
  const told: string[] = [];
  const clicks = await openClicksDb({
    migrate: 'auto',
    dialect: createSqliteDialect({ clock, random: Math.random }),
    random: Math.random,
    randomBytes,
    durability: 'process',
    readSeq: () => 0,
    onSetAside: (path, error) => told.push(`${path.split('/').at(-1)}: ${codeOf(error)}`),
    onMissing: ({ ofProcess }) => told.push(`${ofProcess} missing`),
    ...options,
    clock,
  });
  t.teardown(() => clicks.close());
  return { ...clicks, clock, told, dataDir: options.dataDir };
}

/** The code of the driver's error, whoever wraps it. */
export function codeOf(error: unknown): unknown {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return code ?? (cause === undefined ? undefined : codeOf(cause));
}

export interface StoredClick {
  readonly id: number;
  readonly link_id: number;
  readonly at_ms: number;
  readonly reason: string;
  readonly visitor: number | null;
  readonly agent: string | null;
  readonly referrer: string | null;
  readonly language: string | null;
  readonly country: string | null;
}

/** All clicks of a file in the order they were stored, with their words. */
export function readClicks(dataDir: string): StoredClick[] {
  const word = (name: string) => `(select text from words where id = clicks.${name}) as ${name}`;
  const rows = queryClicks(
    dataDir,
    `select id, link_id, at_ms, reason, visitor, ${['agent', 'referrer', 'language', 'country'].map(word).join(', ')}
     from clicks order by id`,
  ) as StoredClick[];
  const names = new Map(Object.entries(REASON_NUMBERS).map(([name, number]) => [number, name]));
  return rows.map((row) => ({ ...row, reason: names.get(Number(row.reason)) ?? '' }));
}

/** Rows of clicks.db, as another process sees them. */
export function queryClicks(dataDir: string, sql: string): unknown[] {
  const db = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  try {
    return db.prepare(sql).all();
  } finally {
    db.close();
  }
}

/** A second writer on the file: holds the write lock until `release`. */
export function lockClicks(t: Test, dataDir: string): { release(): void } {
  const db = new Database(join(dataDir, 'clicks.db'));
  t.teardown(() => db.close());
  db.exec('begin immediate');
  return { release: () => void db.exec('rollback') };
}
