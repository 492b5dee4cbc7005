/**
 * Keys that somebody followed and that no link has, counted in memory of a fixed size and written down now and then.
 *
 * `TRACKED_MAX` keys are counted one by one. Of all others only a sketch is kept (count-min: a table of small numbers, of which
 * each key raises four), and a key takes the place of a tracked one when the sketch has seen it more often. So whoever asks for
 * ever new keys replaces only keys that are as rare as theirs, and no number ever says more than really happened: hits before a
 * key was tracked are not in it. Numbers grow old: every `AGEING_AFTER` untracked hits all of them are halved.
 */

import { DAY_MS } from '../clicks/visitor.ts';
import type { Clock } from '../kernel/clock.ts';

export interface UnknownKeyHits {
  readonly key: string;
  readonly hits: number;
  readonly lastSeenMs: number;
}

/** What several processes, and hosts that share a database, have written down. It keeps the most hit keys of each day. */
export interface UnknownKeyStore {
  /** Adds to what is there of that day of UTC, counted since the epoch: all `PORTION` of them at most, or nothing. */
  addUnknownKeys(day: number, keys: readonly UnknownKeyHits[]): Promise<void>;
  /** Lets go the least hit ones of a day that has too many, and days that are too long ago. */
  pruneUnknownKeys(day: number): Promise<void>;
  /** All that is kept since a day, each key once, the most hit first. */
  listUnknownKeys(sinceDay: number, limit: number): Promise<UnknownKeyHits[]>;
}

export interface UnknownKeys {
  /** In bounded time; a visitor waits. */
  note(key: string): void;
  /** Writes down what was not yet. Throws what the store throws; then nothing is lost. */
  flush(): Promise<void>;
}

export interface UnknownKeysDeps {
  readonly clock: Clock;
  readonly store: Pick<UnknownKeyStore, 'addUnknownKeys' | 'pruneUnknownKeys'>;
  /** Nobody outside may know where a key lies in the sketch. */
  readonly seed: number;
}

export const TRACKED_MAX = 1000;
/** What a crash can cost, as nothing but the next hit, a question or the stop writes it down. */
export const FLUSH_EVERY_MS = 10_000;
/** Keys written in one transaction, about 2 ms, which redirects wait for. */
const PORTION = 200;
/** Tracked keys of which the least hit one has to make room. */
const SAMPLE = 8;

interface Tracked {
  readonly key: string;
  /** How often it was hit lately, to be compared with the sketch. */
  weight: number;
  /** Hits that are not written down. */
  hits: number;
  lastSeenMs: number;
}

export function createUnknownKeys({ clock, store, seed }: UnknownKeysDeps): UnknownKeys {
  const byKey = new Map<string, number>();
  const tracked: Tracked[] = [];
  const sketch = createSketch(seed);
  let hand = 0;
  let flushedAtMs = clock.nowMs();
  let flushing: Promise<void> | null = null;

  function hit(place: number, nowMs: number): void {
    const entry = tracked[place] as Tracked;
    entry.weight++;
    entry.hits++;
    entry.lastSeenMs = nowMs;
  }

  function track(key: string, place: number, entry: Tracked): void {
    tracked[place] = entry;
    byKey.set(key, place);
  }

  function challenge(key: string, nowMs: number): void {
    const weight = sketch.add(key);
    if (sketch.isOld()) age();
    const place = findRarest();
    const rarest = tracked[place] as Tracked;
    if (weight <= rarest.weight) return;
    byKey.delete(rarest.key);
    track(key, place, { key, weight, hits: 1, lastSeenMs: nowMs });
  }

  /** Of the next few: each is looked at in turn, and a visitor does not wait for a thousand. */
  function findRarest(): number {
    let rarest = hand;
    for (let step = 0; step < SAMPLE; step++) {
      if ((tracked[hand] as Tracked).weight < (tracked[rarest] as Tracked).weight) rarest = hand;
      hand = (hand + 1) % TRACKED_MAX;
    }
    return rarest;
  }

  function age(): void {
    sketch.halve();
    for (const entry of tracked) entry.weight >>>= 1;
  }

  async function writeDown(): Promise<void> {
    const nowMs = clock.nowMs();
    const day = Math.floor(nowMs / DAY_MS);
    flushedAtMs = nowMs;
    const waiting = tracked.filter(({ hits }) => hits > 0);
    for (let start = 0; start < waiting.length; start += PORTION) {
      await writePortion(day, waiting.slice(start, start + PORTION));
    }
    if (waiting.length > 0) await store.pruneUnknownKeys(day);
  }

  async function writePortion(day: number, entries: readonly Tracked[]): Promise<void> {
    const rows = entries.map(({ key, hits, lastSeenMs }) => ({ key, hits, lastSeenMs }));
    for (const entry of entries) entry.hits = 0;
    try {
      await store.addUnknownKeys(day, rows);
    } catch (error) {
      entries.forEach((entry, index) => {
        entry.hits += (rows[index] as UnknownKeyHits).hits;
      });
      throw error;
    }
  }

  function flush(): Promise<void> {
    flushing ??= writeDown().finally(() => {
      flushing = null;
    });
    return flushing;
  }

  return {
    note(key) {
      const nowMs = clock.nowMs();
      const place = byKey.get(key);
      if (place !== undefined) hit(place, nowMs);
      else if (tracked.length < TRACKED_MAX) {
        track(key, tracked.length, { key, weight: 1, hits: 1, lastSeenMs: nowMs });
      } else challenge(key, nowMs);
      if (Math.abs(nowMs - flushedAtMs) < FLUSH_EVERY_MS) return;
      flushedAtMs = nowMs;
      // What could not be written down is tried again with the next.
      setImmediate(() => void flush().catch(() => undefined));
    },
    flush,
  };
}

interface KeySketch {
  /** How often a key was added, or more: others may share its numbers. */
  add(key: string): number;
  isOld(): boolean;
  halve(): void;
}

const ROWS = 4;
/** 64 KB in all. */
const COLUMNS = 2 ** 14;
/** Two for each column, so that keys of one hit hardly ever seem to have three. */
const AGEING_AFTER = 2 * COLUMNS;
const COUNT_MAX = 255;

function createSketch(seed: number): KeySketch {
  const counts = new Uint8Array(ROWS * COLUMNS);
  let additions = 0;

  return {
    add(key) {
      additions++;
      const hash = hashOf(key, seed);
      const step = hashOf(key, ~seed) | 1;
      let least = COUNT_MAX;
      for (let row = 0; row < ROWS; row++) {
        least = Math.min(least, counts[placeOf(row, hash, step)] as number);
      }
      if (least === COUNT_MAX) return least;
      // Only the least ones grow: the others are too great already.
      for (let row = 0; row < ROWS; row++) {
        const place = placeOf(row, hash, step);
        if (counts[place] === least) counts[place] = least + 1;
      }
      return least + 1;
    },
    isOld: () => additions >= AGEING_AFTER,
    halve() {
      additions = 0;
      for (let place = 0; place < counts.length; place++) counts[place] = (counts[place] as number) >>> 1;
    },
  };
}

function placeOf(row: number, hash: number, step: number): number {
  return row * COLUMNS + ((hash + Math.imul(row, step)) >>> (32 - 14));
}

/** FNV-1a with a start that nobody knows, and the end of MurmurHash3, which spreads what differs in the last characters. */
function hashOf(key: string, seed: number): number {
  let hash = seed | 0;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
