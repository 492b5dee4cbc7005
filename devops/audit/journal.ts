/**
 * What a deploy meant to do and what became of it: intent before, result after each step, one line each. Each line has the hash of the
 * one before it, so that a line that is changed, or goes missing from the middle, shows. It is what `--resume` goes on from.
 */

import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { freeLock, readLock, takeLock } from '../host/process-lock.ts';

export interface Entry {
  readonly seq: number;
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly type: EntryType;
  /** Of a step: its id in the plan. */
  readonly step?: string;
  readonly host?: string;
  readonly detail?: unknown;
  /** Of the line before; empty for the first. */
  readonly prev: string;
  readonly hash: string;
}

/** `undo`: from here on the way goes back. */
export type EntryType = 'begun' | 'resumed' | 'intent' | 'done' | 'failed' | 'undo' | 'decision' | 'ended';

export interface Journal {
  append(entry: Pick<Entry, 'type' | 'step' | 'host' | 'detail'>): Entry;
  entries(): readonly Entry[];
  /** Somebody else may write it from now on. */
  close(): void;
}

/** Goes on with what is there. Throws JournalError where that does not hold together, or another process writes it. */
export function openJournal(
  path: string,
  { nowMs, onLine }: { readonly nowMs: () => number; readonly onLine?: (line: string) => void },
): Journal {
  mkdirSync(dirname(path), { recursive: true });
  const lock = `${path}.lock`;
  takeLock(lock);
  const holder = readLock(lock);
  if (holder !== null && !holder.isOwn)
    throw new JournalError(
      `This deploy is at work still, as process ${holder.pid} of this machine: end it first.`,
    );
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  // A line that was cut off meant nothing yet, and the next one must not stand behind it.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  let bytes = Buffer.byteLength(whole);
  if (whole !== text) truncateSync(path, bytes);
  const entries = readJournal(whole, path);
  return {
    entries: () => entries,
    close: () => freeLock(lock),
    append(given) {
      const last = entries.at(-1);
      const rest = {
        seq: (last?.seq ?? 0) + 1,
        at: new Date(nowMs()).toISOString(),
        ...given,
        prev: last?.hash ?? '',
      };
      const entry: Entry = { ...rest, hash: hashOf(rest) };
      const line = JSON.stringify(entry);
      // On the disk before anything is done: what was meant is known, whatever happens.
      try {
        appendFileSync(path, `${line}\n`, { flush: true });
      } catch (error) {
        // The next line must not stand behind half of this one.
        if (existsSync(path)) truncateSync(path, bytes);
        throw error;
      }
      bytes += Buffer.byteLength(line) + 1;
      entries.push(entry);
      onLine?.(line);
      return entry;
    },
  };
}

export class JournalError extends Error {
  override name = 'JournalError';
}

/** Throws JournalError at the first line that was changed. What stands behind the last line break is none. `path`: where it lies. */
export function readJournal(text: string, path = 'the journal'): Entry[] {
  const lines = text.split('\n');
  lines.pop();
  const entries: Entry[] = [];
  for (const line of lines) {
    const entry = parseEntry(line);
    const before = entries.at(-1);
    const isNext = entry?.prev === (before?.hash ?? '') && entry.seq === (before?.seq ?? 0) + 1;
    if (entry === null || !isNext) {
      throw new JournalError(
        `Line ${entries.length + 1} of ${path} was changed. Each host has a copy in its folder journal; without the file it is as if there had been no such deploy.`,
      );
    }
    entries.push(entry);
  }
  return entries;
}

/** Null: it is not as it was written. */
function parseEntry(line: string): Entry | null {
  try {
    const { hash, ...rest } = JSON.parse(line) as Entry;
    return hash === hashOf(rest) ? { ...rest, hash } : null;
  } catch {
    return null;
  }
}

function hashOf(entry: Omit<Entry, 'hash'>): string {
  return createHash('sha256').update(JSON.stringify(entry)).digest('hex');
}
