/**
 * Clicks on their way into clicks.db, through prepared statements on a connection of their own: nothing else is ever part of
 * the transaction that a redirect waits for.
 */

import type Database from 'better-sqlite3';
import type { ClickJournal, JournalEntry, Quota, Verdict } from '../../clicks/click-journal.ts';
import { REASON_NUMBERS, SEGMENT_SIZE } from '../click-rows.ts';
import { createClickWords } from './click-words.ts';
import { isBusy } from './dialect.ts';

export interface JournalSegment {
  readonly name: string;
  readonly startedAtMs: number;
  /** The number of the shared database that its clicks are of; null: that is not known yet, or there is none. */
  readonly database: number | null;
  /** The last sequence that was given out. Goes on when a file is replaced. */
  sequence: number;
  /** The last one that was stored in a file before this one. */
  storedElsewhere: number;
  /** Clicks that this process stored in segments before this one. */
  readonly before: number;
}

/** Appends to an open file. Throws the driver's errors. */
export type JournalAppender = ClickJournal['append'];

export function createJournalAppender(
  connection: Database.Database,
  segment: JournalSegment,
  segmentId: number,
): JournalAppender {
  const begin = connection.prepare('begin immediate');
  const commit = connection.prepare('commit');
  const rollback = connection.prepare('rollback');
  const insert = connection.prepare(
    `insert into clicks (id, link_id, at_ms, reason, visitor, agent, referrer, language, country)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const words = createClickWords(connection);
  const takeFrom = createQuotaTaker(connection);
  const base = segmentId * SEGMENT_SIZE;

  /** Null: nothing but clicks, and all are stored. */
  function store(entries: readonly JournalEntry[]): Verdict[] | null {
    let verdicts: Verdict[] | null = null;
    for (let index = 0; index < entries.length; index++) {
      const { click, quota } = entries[index] as JournalEntry;
      const verdict = quota === null ? 'stored' : takeFrom(quota);
      if (verdict !== 'stored') {
        verdicts ??= entries.map(() => 'stored');
        verdicts[index] = verdict;
        continue;
      }
      if (click === null) continue;
      insert.run(
        base + ++segment.sequence,
        click.linkId,
        click.atMs,
        REASON_NUMBERS[click.reason],
        click.visitor,
        words.idOf('agent', click.agent),
        words.idOf('referrer', click.referrer),
        words.idOf('language', click.language),
        words.idOf('country', click.country),
      );
    }
    return verdicts;
  }

  return (entries) => {
    const { sequence } = segment;
    try {
      begin.run();
      const verdicts = store(entries);
      commit.run();
      words.keep();
      return verdicts;
    } catch (error) {
      // A full disk ends the transaction by itself.
      if (connection.inTransaction) rollback.run();
      segment.sequence = sequence;
      words.forget();
      if (isBusy(error)) return 'busy';
      throw error;
    }
  };
}

/** The number of this process in this file; `isNew`: it has not stored anything here. */
export function openSegment(
  connection: Database.Database,
  segment: JournalSegment,
): { readonly id: number; readonly isNew: boolean } {
  const { name, startedAtMs, sequence, database } = segment;
  // Those up to its sequence were in a file before this one: none of them waits here.
  const { changes } = connection
    .prepare(
      `insert into segments (name, started_at_ms, folded_to, shipped_to, shipped_into) values (?, ?, 0, ?, ?)
       on conflict (name) do nothing`,
    )
    .run(name, startedAtMs, sequence, database);
  const isNew = changes === 1;
  if (isNew) segment.storedElsewhere = sequence;
  connection
    .prepare('update segments set shipped_into = ? where name = ? and shipped_into is null')
    .run(database, name);
  const find = connection.prepare<[string], number>('select id from segments where name = ?').pluck();
  return { id: find.get(name) as number, isNew };
}

/** One conditional update decides, so that no two processes ever give out the same click. */
function createQuotaTaker(connection: Database.Database): (quota: Quota) => Verdict {
  const take = connection.prepare<[number, number]>(
    'update quotas set used = used + 1 where link_id = ? and used < ?',
  );
  const usedOf = connection.prepare<[number], number>('select used from quotas where link_id = ?').pluck();
  const open = connection.prepare<[number]>('insert into quotas (link_id, used) values (?, 1)');
  const madeAtSeq = connection
    .prepare<[], number>("select value from click_state where name = 'made_at_seq'")
    .pluck();

  return ({ linkId, clicksMax, setBySeq, isOnlyAsked }) => {
    if (!isOnlyAsked && take.run(linkId, clicksMax).changes === 1) return 'stored';
    const used = usedOf.get(linkId);
    if (used !== undefined) return used < clicksMax ? 'stored' : 'spent';
    // Read each time: limits that move to another database (store/move/) are not known here from then on.
    if (setBySeq <= (madeAtSeq.get() as number)) return 'unknown';
    if (!isOnlyAsked) open.run(linkId);
    return 'stored';
  };
}
