/**
 * Clicks as rows, and the tiers that are counted from them the plainest way there is: everything anew, from every row. What the
 * service counts bit by bit must come to the same.
 */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ClickReason } from '../../app/clicks/click.ts';
import { addVisitors } from '../../app/clicks/sketch.ts';
import { REASON_NUMBERS, SEGMENT_SIZE, WORD_KINDS, type WordKind } from '../../app/store/click-rows.ts';

/** A click with what is known of it; null where nothing is. */
export interface TestClick {
  readonly linkId: number;
  readonly atMs: number;
  readonly reason: ClickReason;
  readonly visitor: number | null;
  readonly referrer: string | null;
  readonly country: string | null;
  readonly language: string | null;
  readonly browser: string | null;
  readonly os: string | null;
  readonly device: string | null;
}

export const PLAIN_CLICK = {
  reason: 'human',
  visitor: null,
  referrer: null,
  country: null,
  language: null,
  browser: null,
  os: null,
  device: null,
} as const satisfies Partial<TestClick>;

export interface ClickFile {
  /** Stores clicks as the journal does. */
  store(clicks: readonly TestClick[]): void;
  /** Makes every tier anew from the rows that are there. */
  recount(): void;
  /** Deletes single clicks, as after their time. */
  dropClicksBefore(ms: number): void;
  /** Makes days of the quarters before a day, counted since the epoch. */
  rollUpBefore(day: number): void;
  forget(): void;
  readonly connection: Database.Database;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const QUARTERS_A_DAY = 96;
const TIERS = [
  'click_index',
  'click_totals',
  'click_quarters',
  'click_days',
  'click_details',
  'click_visitors',
] as const;

/** The clicks.db of a service that has it open; close it before the folder goes. */
export function openClickFile(dataDir: string): ClickFile {
  const connection = new Database(join(dataDir, 'clicks.db'), { timeout: 5000 });
  // As if its clicks were counted: this file counts them itself.
  const segment = connection
    .prepare<[], number>(
      `insert into segments (name, started_at_ms, folded_to) values ('test', 0, ${SEGMENT_SIZE - 1}) on conflict (name) do update set folded_to = excluded.folded_to returning id`,
    )
    .pluck()
    .get() as number;
  let sequence = 0;

  function wordOf(kind: WordKind, text: string | null): number | null {
    if (text === null) return null;
    connection
      .prepare('insert into words (kind, text) values (?, ?) on conflict do nothing')
      .run(WORD_KINDS[kind], text);
    return connection
      .prepare<[number, string], number>('select id from words where kind = ? and text = ?')
      .pluck()
      .get(WORD_KINDS[kind], text) as number;
  }

  function agentOf({ browser, os, device }: TestClick): number | null {
    if (browser === null && os === null && device === null) return null;
    const agent = wordOf('agent', JSON.stringify([browser, os, device]));
    connection
      .prepare('insert into agents (id, browser, os, device) values (?, ?, ?, ?) on conflict do nothing')
      .run(agent, wordOf('browser', browser), wordOf('os', os), wordOf('device', device));
    return agent;
  }

  function store(clicks: readonly TestClick[]): void {
    const insert = connection.prepare('insert into clicks values (?, ?, ?, ?, ?, ?, ?, ?, ?)');
    for (const click of clicks) {
      const { linkId, atMs, reason, visitor, referrer, language, country } = click;
      insert.run(
        segment * SEGMENT_SIZE + ++sequence,
        linkId,
        atMs,
        REASON_NUMBERS[reason],
        visitor,
        agentOf(click),
        wordOf('referrer', referrer),
        wordOf('language', language),
        wordOf('country', country),
      );
    }
  }

  return {
    connection,
    store: connection.transaction(store),
    recount: connection.transaction(() => recount(connection)),
    dropClicksBefore: connection.transaction((ms: number) => {
      connection
        .prepare(
          "insert into click_state (name, value) values ('kept_from_ms', ?) on conflict (name) do update set value = excluded.value",
        )
        .run(ms);
      connection.prepare('delete from click_index where at_ms < ?').run(ms);
      connection.prepare('delete from clicks where at_ms < ?').run(ms);
    }),
    rollUpBefore: connection.transaction((day: number) => {
      const before = day * QUARTERS_A_DAY;
      connection.exec(`
        insert into click_days
          select link_id, quarter / ${QUARTERS_A_DAY}, reason, sum(clicks) from click_quarters
          where quarter < ${before} group by 1, 2, 3;
        delete from click_quarters where quarter < ${before};`);
    }),
    forget: connection.transaction(() => {
      for (const table of [...TIERS, 'clicks']) connection.exec(`delete from ${table}`);
      connection.exec("delete from click_state where name = 'kept_from_ms'");
    }),
  };
}

interface Row {
  id: number;
  link_id: number;
  at_ms: number;
  reason: number;
  visitor: number | null;
  agent: number | null;
  referrer: number | null;
  language: number | null;
  country: number | null;
}

interface Agent {
  id: number;
  browser: number | null;
  os: number | null;
  device: number | null;
}

function recount(connection: Database.Database): void {
  for (const table of TIERS) connection.exec(`delete from ${table}`);
  const rows = connection.prepare<[], Row>('select * from clicks').all();
  const index = connection.prepare('insert into click_index values (?, ?, ?)');
  for (const row of rows) index.run(row.link_id, row.at_ms, row.id);
  // Link 0 stands for all.
  const counted = rows.flatMap((row) => [row, { ...row, link_id: 0 }]);
  countRows(connection, counted);
  sketchVisitors(connection, counted);
}

function countRows(connection: Database.Database, rows: readonly Row[]): void {
  const agents = new Map(
    connection
      .prepare<[], Agent>('select * from agents')
      .all()
      .map((agent) => [agent.id, agent]),
  );
  const counts = new Map<string, number>();
  const add = (...key: (string | number)[]): void => {
    const text = JSON.stringify(key);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  };
  for (const row of rows) {
    const agent = row.agent === null ? undefined : agents.get(row.agent);
    const words = { ...row, browser: agent?.browser, os: agent?.os, device: agent?.device };
    add('click_totals', row.link_id, row.reason);
    add('click_quarters', row.link_id, Math.floor(row.at_ms / (DAY_MS / QUARTERS_A_DAY)), row.reason);
    for (const kind of ['referrer', 'language', 'country', 'browser', 'os', 'device'] as const) {
      const word = words[kind] ?? null;
      if (word !== null) add('click_details', row.link_id, dayOf(row), row.reason, WORD_KINDS[kind], word);
    }
  }
  for (const [text, clicks] of counts) {
    const [table, ...key] = JSON.parse(text) as [string, ...number[]];
    const places = [...key, clicks].map(() => '?').join(', ');
    connection.prepare(`insert into ${table} values (${places})`).run(...key, clicks);
  }
}

/** Of people alone. */
function sketchVisitors(connection: Database.Database, rows: readonly Row[]): void {
  const sketches = new Map<string, Uint8Array>();
  for (const row of rows) {
    if (row.visitor === null || row.reason !== REASON_NUMBERS.human) continue;
    const key = JSON.stringify([row.link_id, dayOf(row)]);
    sketches.set(key, addVisitors(sketches.get(key) ?? null, [row.visitor]));
  }
  const insert = connection.prepare('insert into click_visitors values (?, ?, ?)');
  for (const [key, sketch] of sketches) insert.run(...(JSON.parse(key) as [number, number]), sketch);
}

function dayOf(row: Row): number {
  return Math.floor(row.at_ms / DAY_MS);
}
