/**
 * Clicks as rows, and the tiers that are counted from them the plainest way there is: everything anew, from every row. What the
 * service counts bit by bit must come to the same.
 */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ClickReason } from '../../app/clicks/click.ts';
import { addVisitors } from '../../app/clicks/sketch.ts';
import {
  FIGURE_KINDS,
  REASON_NUMBERS,
  SEGMENT_SIZE,
  WORD_KINDS,
  type WordKind,
} from '../../app/store/click-rows.ts';

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
      connection.prepare('delete from click_figures where kind = ? and at < ?').run(FIGURE_KINDS.click, ms);
      connection.prepare('delete from clicks where at_ms < ?').run(ms);
    }),
    rollUpBefore: connection.transaction((day: number) => {
      const before = day * QUARTERS_A_DAY;
      connection.exec(`
        insert into click_figures
          select link_id, ${FIGURE_KINDS.day}, quarter / ${QUARTERS_A_DAY}, 0, reason, sum(clicks), null from click_quarters
          where quarter < ${before} group by link_id, quarter / ${QUARTERS_A_DAY}, reason;
        delete from click_figures where kind = ${FIGURE_KINDS.quarter} and at < ${before};`);
    }),
    forget: connection.transaction(() => {
      connection.exec('delete from click_figures; delete from clicks');
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
  connection.exec('delete from click_figures');
  const rows = connection.prepare<[], Row>('select * from clicks').all();
  for (const row of rows)
    insertFigure(connection, [row.link_id, FIGURE_KINDS.click, row.at_ms, row.id, 0], 1);
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
  const add = (...key: FigureKey): void => {
    const text = JSON.stringify(key);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  };
  for (const row of rows) {
    const agent = row.agent === null ? undefined : agents.get(row.agent);
    const words = { ...row, browser: agent?.browser, os: agent?.os, device: agent?.device };
    const quarter = Math.floor(row.at_ms / (DAY_MS / QUARTERS_A_DAY));
    add(row.link_id, FIGURE_KINDS.total, 0, 0, row.reason);
    add(row.link_id, FIGURE_KINDS.quarter, quarter, 0, row.reason);
    for (const kind of ['referrer', 'language', 'country', 'browser', 'os', 'device'] as const) {
      const word = words[kind] ?? null;
      if (word !== null) add(row.link_id, WORD_KINDS[kind], dayOf(row), word, row.reason);
    }
  }
  for (const [text, clicks] of counts) insertFigure(connection, JSON.parse(text) as FigureKey, clicks);
}

type FigureKey = [linkId: number, kind: number, at: number, word: number, reason: number];

function insertFigure(
  connection: Database.Database,
  key: FigureKey,
  clicks: number,
  sketch: Uint8Array | null = null,
): void {
  connection.prepare('insert into click_figures values (?, ?, ?, ?, ?, ?, ?)').run(...key, clicks, sketch);
}

/** Of people alone. */
function sketchVisitors(connection: Database.Database, rows: readonly Row[]): void {
  const sketches = new Map<string, Uint8Array>();
  for (const row of rows) {
    if (row.visitor === null || row.reason !== REASON_NUMBERS.human) continue;
    const key = JSON.stringify([row.link_id, dayOf(row)]);
    sketches.set(key, addVisitors(sketches.get(key) ?? null, [row.visitor]));
  }
  for (const [key, sketch] of sketches) {
    const [linkId, day] = JSON.parse(key) as [number, number];
    insertFigure(connection, [linkId, FIGURE_KINDS.visitors, day, 0, 0], 0, sketch);
  }
}

function dayOf(row: Row): number {
  return Math.floor(row.at_ms / DAY_MS);
}
