/**
 * What a host knows of links and could not write to its copy, as on a full disk: kept in memory, looked at before the copy, and
 * written when there is room. So whoever was told of a change follows it on this host, and the host goes on to follow others.
 */

import type { RedirectFacts } from '../links/link.ts';
import { type CopyPlace, type CopyStep, isSameHistory, type KeyState, type LinkCopy } from './link-copy.ts';

export interface Unwritten {
  /** The copy for those whose news must not be lost. */
  readonly copy: LinkCopy;
  /** Tries to write what waits, some at a time. */
  write(): Promise<void>;
  /** Why it cannot be written; null: nothing waits. */
  failure(): unknown;
}

export interface UnwrittenDeps {
  readonly copy: LinkCopy;
  /** Told once for as many failures as come in a row. */
  readonly onFailed: (error: unknown) => void;
  readonly keysMax?: number;
}

/** Some 20 MB where their targets are as long as they may be. */
const KEYS_MAX = 10_000;
/** States written in one transaction: about 5 ms. */
const PORTION = 500;

export function keepUnwritten({ copy, onFailed, keysMax = KEYS_MAX }: UnwrittenDeps): Unwritten {
  const kept = new Map<string, KeyState>();
  /** Once all that is kept is written. */
  let step: CopyStep | null = null;
  /**
   * Something could not even be kept, or another history not be followed: what the copy says of a key may be wrong until it has followed
   * the changes once more.
   */
  let isOver = false;
  /** What could not be kept is told again up to here. */
  let lostUpTo = Number.NEGATIVE_INFINITY;
  /** Another history waits to be followed. */
  let isBeginDue = false;
  let failure: unknown = null;

  function failed(error: unknown): void {
    if (failure === null) onFailed(error);
    failure = error;
  }

  function believe(): void {
    isOver = false;
    lostUpTo = Number.NEGATIVE_INFINITY;
  }

  /** Throws what the copy failed with where there are too many. Then nobody may believe that they are here. */
  function keep(states: readonly KeyState[], next: CopyStep | undefined): void {
    isOver ||= kept.size + states.length > keysMax;
    if (isOver) {
      lostUpTo = Math.max(lostUpTo, next?.to ?? 0, ...states.map(({ asOf }) => asOf));
      throw failure;
    }
    for (const state of states) {
      const known = kept.get(state.key);
      const isNews = known === undefined || !isSameHistory(known.of, state.of) || known.asOf < state.asOf;
      if (isNews) kept.set(state.key, state);
    }
    if (next !== undefined) step = step === null ? next : { ...next, from: step.from };
  }

  async function writePortion(): Promise<void> {
    const states = [...kept.values()].slice(0, PORTION);
    const last = states.length === kept.size ? step : null;
    await copy.write(states, last ?? undefined);
    for (const state of states) if (kept.get(state.key) === state) kept.delete(state.key);
    if (last !== null) step = step === last ? null : { ...(step as CopyStep), from: last.to };
  }

  function lookup(key: string): RedirectFacts | null {
    if (isOver) return null;
    if (failure === null) return copy.lookup(key);
    const state = kept.get(key);
    return state === undefined ? copy.lookup(key) : state.facts;
  }

  async function readPlace(): Promise<CopyPlace | null> {
    const place = await copy.readPlace();
    if (place === null || step === null || !isSameHistory(place.of, step.of)) return place;
    const position = Math.max(place.position, step.to);
    return { ...place, position, newest: Math.max(place.newest, position) };
  }

  return {
    copy: {
      ...copy,
      lookup,
      readPlace,
      async write(states, next) {
        if (failure === null) {
          try {
            await copy.write(states, next);
            if (next?.mark === 'position' && next.to >= lostUpTo) believe();
            return;
          } catch (error) {
            failed(error);
          }
        }
        keep(states, next);
      },
      async begin(end, instead) {
        try {
          await copy.begin(end, instead);
          isBeginDue = false;
          believe();
        } catch (error) {
          isOver = true;
          isBeginDue = true;
          failed(error);
          throw error;
        }
      },
    },
    async write() {
      if (failure === null) return;
      try {
        while (kept.size > 0 || step !== null) await writePortion();
        if (!isBeginDue) failure = null;
      } catch (error) {
        failed(error);
      }
    },
    failure: () => failure,
  };
}
