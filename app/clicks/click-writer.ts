/**
 * Group commit of clicks: all redirects of one turn of the event loop share one transaction, and are answered after it. So a
 * click is stored before its visitor is on the way, and `kill -9` loses none that was answered.
 *
 *   record ─▶ setImmediate ─▶ append ─┬─ stored ─▶ answered and counted
 *                               ▲     ├─ busy ───▶ again in about 1 ms, for 250 ms ─┐
 *                               └─────┤◀────────────────────────────────────────────┘
 *                                     └─ failed ─▶ answered, pending ─▶ stored later, or dropped
 *
 * Busy is not failure: another process holds the lock for some milliseconds, as it does during a reload. Failure is whatever
 * else the file says, and being busy for too long. While it lasts redirects go on and their clicks wait in bounded memory;
 * only a link with a quota is refused, because nobody can say whether it is used up.
 */

import { waitForLock } from '../kernel/busy-wait.ts';
import type { Clock } from '../kernel/clock.ts';
import { nextTurn } from '../kernel/portions.ts';
import type { Click, Exclusion } from './click.ts';
import type { ClickJournal, JournalEntry, Verdict } from './click-journal.ts';
import type { Ledger } from './ledger.ts';

/** What becomes of a redirect. `unavailable`: its quota cannot be asked now. */
export type Fate = 'redirect' | 'unavailable' | Exclude<Verdict, 'stored'>;

/** A redirect that is decided but for its quota. */
export interface Redirect extends JournalEntry {
  /** Why it has no click; null: it has one. */
  readonly exclusion: Exclusion | null;
  /** Called once: its click is stored, or cannot be now. */
  settle(fate: Fate): void;
}

export interface ClickWriter {
  record(redirect: Redirect): void;
  /** Why clicks cannot be stored at the moment; null: they are. */
  failure(): unknown;
  /** Stores what waits, for `deadlineMs` at most; the rest is dropped. Nothing may be recorded any more. */
  close(deadlineMs: number): Promise<void>;
}

export interface ClickWriterDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly journal: ClickJournal;
  readonly ledger: Ledger;
  /** Told of each transaction: how many redirects shared it, and how long it took. */
  readonly onCommitted: (redirects: number, seconds: number) => void;
  /** Told once when storing begins to fail. */
  readonly onFailed: (error: unknown) => void;
  /** Told once when everything that waited is stored. */
  readonly onRecovered: () => void;
  readonly onDropped: (clicks: number) => void;
  /** Told how long the clicks of a turn waited for another process that wrote. */
  readonly onWaited: (ms: number) => void;
}

const BUSY_BUDGET_MS = 250;
/** How often a close looks whether the last turn is settled. */
const TURN_CHECK_MS = 1;
/** How often a file that failed is tried again. */
const RETRY_MS = 100;
/** Clicks of one transaction, about 5 ms: ten thousand clients in one turn must not lock out another process. */
const TRANSACTION_MAX = 1000;
/** Clicks that may wait for the disk, at most some 60 MB: 20 seconds at 5,000 a second. */
export const PENDING_MAX = 100_000;

export function createClickWriter(deps: ClickWriterDeps): ClickWriter {
  const { clock, random, journal, ledger, onCommitted, onFailed, onRecovered, onDropped, onWaited } = deps;
  let turn: Redirect[] = [];
  let busySinceMs: number | null = null;
  const pending: Click[] = [];
  let failure: unknown = null;
  let catchingUp: Promise<void> = Promise.resolve();
  let isClosing = false;
  const startFailure = journal.failure();
  if (startFailure !== null) fail(startFailure);

  function commitTurn(): void {
    if (failure !== null) {
      settleUnstored();
      return;
    }
    const portion = turn.length > TRANSACTION_MAX ? turn.slice(0, TRANSACTION_MAX) : turn;
    if (portion.every(({ click, quota }) => click === null && quota === null)) {
      settleStored(portion, null);
      return;
    }
    const startedAt = performance.now();
    let verdicts: ReturnType<ClickJournal['append']>;
    try {
      verdicts = journal.append(portion);
    } catch (error) {
      fail(error);
      return;
    }
    if (verdicts === 'busy') {
      waitForOthers();
      return;
    }
    onCommitted(portion.length, (performance.now() - startedAt) / 1000);
    settleStored(portion, verdicts);
  }

  function waitForOthers(): void {
    const nowMs = clock.monotonicMs();
    busySinceMs ??= nowMs;
    if (nowMs - busySinceMs < BUSY_BUDGET_MS) {
      void waitForLock(clock, random).then(commitTurn);
      return;
    }
    fail(new Error(`Another process kept the clicks locked for more than ${BUSY_BUDGET_MS} ms.`));
  }

  function settleStored(portion: readonly Redirect[], verdicts: readonly Verdict[] | null): void {
    turn = turn.slice(portion.length);
    if (turn.length > 0) setImmediate(commitTurn);
    endWaiting();
    for (let index = 0; index < portion.length; index++) {
      const redirect = portion[index] as Redirect;
      const verdict = verdicts?.[index] ?? 'stored';
      if (verdict === 'stored') account(redirect);
      redirect.settle(verdict === 'stored' ? 'redirect' : verdict);
    }
  }

  function account({ click, exclusion }: Redirect): void {
    if (click !== null) ledger.count(click.reason);
    if (exclusion !== null) ledger.exclude(exclusion);
  }

  function endWaiting(): void {
    if (busySinceMs === null) return;
    onWaited(clock.monotonicMs() - busySinceMs);
    busySinceMs = null;
  }

  function fail(error: unknown): void {
    endWaiting();
    failure = error;
    onFailed(error);
    settleUnstored();
    void recover();
  }

  function settleUnstored(): void {
    const settled = turn;
    turn = [];
    for (const redirect of settled) {
      if (redirect.quota !== null) {
        redirect.settle('unavailable');
        continue;
      }
      if (redirect.exclusion !== null) ledger.exclude(redirect.exclusion);
      if (redirect.click !== null) defer(redirect.click);
      redirect.settle('redirect');
    }
  }

  function defer(click: Click): void {
    if (pending.length >= PENDING_MAX) {
      ledger.drop();
      return;
    }
    pending.push(click);
    ledger.defer();
  }

  async function recover(): Promise<void> {
    for (await clock.sleep(RETRY_MS); failure !== null && !isClosing; await clock.sleep(RETRY_MS)) {
      catchingUp = catchUp();
      await catchingUp;
    }
  }

  /** Stores what waits, in portions that leave redirects their turns. */
  async function catchUp(): Promise<void> {
    try {
      await journal.repair(failure);
      while (storePortion()) {
        if (pending.length === 0) {
          failure = null;
          onRecovered();
          return;
        }
        await nextTurn();
      }
    } catch (error) {
      failure = error;
    }
  }

  /** False: another process writes just now. */
  function storePortion(): boolean {
    const portion = pending.slice(0, TRANSACTION_MAX);
    if (journal.append(portion.map((click) => ({ click, quota: null }))) === 'busy') return false;
    pending.splice(0, portion.length);
    for (const { reason } of portion) ledger.catchUp(reason);
    return true;
  }

  return {
    record(redirect) {
      turn.push(redirect);
      // With more than one the turn is on its way already, or waits for another process.
      if (turn.length === 1) setImmediate(commitTurn);
    },

    failure: () => failure,

    async close(deadlineMs) {
      isClosing = true;
      const untilMs = clock.monotonicMs() + deadlineMs;
      while (turn.length > 0) await clock.sleep(TURN_CHECK_MS);
      await catchingUp;
      while (pending.length > 0 && clock.monotonicMs() < untilMs) {
        await catchUp();
        if (pending.length > 0) await clock.sleep(RETRY_MS);
      }
      if (pending.length === 0) return;
      onDropped(pending.length);
      ledger.dropPending();
    },
  };
}
