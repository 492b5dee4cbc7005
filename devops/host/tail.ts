/** What the service wrote: its last lines, found from the end on, and those that came since. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from './layout.ts';
import { SMOKE_KEY } from './smoke.ts';

/** Why it does not start stands in the first one. */
const FILES = { 'fleetlink-error.log': 0.7, 'fleetlink-out.log': 0.3 };
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
/** Those of deploys, and of whoever asks all the time how it is and is told that it is well, would hide all others. */
const ROUTINE = new RegExp(
  `"path":"/${SMOKE_KEY}"|"route":"/(?:readyz|healthz|metrics|drain)","status":200,`,
);
const BREAK = 0x0a;
const CHUNK_BYTES = 256 * 1024;
/** So far back is looked in each file. */
const SEARCH_MAX = 256 * 1024 * 1024;
/** A line that is longer is not looked for the beginning of. */
const LINE_MAX = 4 * 1024 * 1024;
/** So much of each file is told at once. */
const ANSWER_MAX = 4 * 1024 * 1024;

export interface LogQuestion {
  /** So many of each file at most, where nothing was told before. */
  readonly lines: number;
  /** What was told before; null: nothing. */
  readonly after: LogPart['at'] | null;
  readonly level: (typeof LEVELS)[number];
  /** Null: of all of them. */
  readonly request: string | null;
}

export interface LogPart {
  readonly files: readonly LogFile[];
  /** How far each file is told: the next question goes on there. */
  readonly at: Readonly<Record<string, number>>;
}

export interface LogFile {
  readonly name: string;
  readonly changedAtMs: number;
  /** In the order in which they were written. */
  readonly lines: readonly string[];
  /** There may be more before them than was looked for, or told. */
  readonly isCut: boolean;
}

export function readLogs({ logs }: Pick<Layout, 'logs'>, question: LogQuestion): LogPart {
  const at: Record<string, number> = {};
  const files = Object.keys(FILES).flatMap((name) => {
    const found = withFile(join(logs, name), (file, size) => {
      const from = question.after?.[name] ?? null;
      // One that is shorter than before was begun anew.
      const part =
        from === null || from > size
          ? readLast(file, size, question)
          : readOn(file, { from, size, question });
      at[name] = part.at;
      const { lines, isCut } = part;
      return { name, changedAtMs: fstatSync(file).mtimeMs, lines, isCut };
    });
    return found === null ? [] : [found];
  });
  return { files, at };
}

type Found = Pick<LogFile, 'lines' | 'isCut'> & { readonly at: number };

function readLast(file: number, size: number, { lines: wanted, ...question }: LogQuestion): Found {
  const lines: string[] = [];
  let at: number | null = null;
  let [looked, told] = [0, 0];
  for (const bytes of linesBackwards(file, size)) {
    looked += bytes.length + 1;
    // What stands behind the last break is not written to its end yet.
    if (at === null) {
      at = size - bytes.length;
      continue;
    }
    const line = bytes.toString('utf8');
    const isWantedHere = line !== '' && isWanted(line, question);
    if (isWantedHere) told += line.length;
    if (looked > SEARCH_MAX || told > ANSWER_MAX) return { lines: lines.reverse(), isCut: true, at };
    if (isWantedHere && lines.push(line) === wanted) return { lines: lines.reverse(), isCut: false, at };
  }
  // A line without an end hides what is before it.
  return { lines: lines.reverse(), isCut: looked < size, at: at ?? (looked < size ? size : 0) };
}

interface ReadOn {
  readonly from: number;
  readonly size: number;
  readonly question: LogQuestion;
}

function readOn(file: number, { from, size, question }: ReadOn): Found {
  const bytes = readBytes(file, from, Math.min(size - from, ANSWER_MAX));
  const end = bytes.lastIndexOf(BREAK) + 1;
  const lines = bytes.toString('utf8', 0, end).split('\n');
  // A line that is longer than all that is told at once is passed over.
  const at = from + (end === 0 && bytes.length === ANSWER_MAX ? ANSWER_MAX : end);
  return { lines: lines.filter((line) => line !== '' && isWanted(line, question)), isCut: false, at };
}

/** What is no JSON is told too, such as the last words of a process; but nothing else where one request is asked for, and no routine. */
function isWanted(line: string, { level, request }: Pick<LogQuestion, 'level' | 'request'>): boolean {
  if (request === null ? ROUTINE.test(line) : !line.includes(request)) return false;
  const entry = parseEntry(line);
  if (entry === null) return request === null;
  if (request !== null && entry.request_id !== request) return false;
  // What has no level that we know may be anything.
  const known = LEVELS.find((name) => name === entry.level) ?? 'fatal';
  return LEVELS.indexOf(known) >= LEVELS.indexOf(level);
}

/** Null: it is text. */
function parseEntry(line: string): { readonly level?: unknown; readonly request_id?: unknown } | null {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' ? entry : null;
  } catch {
    return null;
  }
}

/** Its last lines, for the card of a failure. */
export function readTail({ logs }: Pick<Layout, 'logs'>, lines = 15): string[] {
  const everything = { after: null, level: 'trace', request: null } as const;
  return Object.entries(FILES).flatMap(([name, share]) => {
    const wanted = { ...everything, lines: Math.ceil(lines * share) };
    return withFile(join(logs, name), (file, size) => readLast(file, size, wanted).lines) ?? [];
  });
}

/** Null: it was never written to. */
function withFile<T>(path: string, work: (file: number, size: number) => T): T | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return work(file, fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

/** Each without its break; the first one is what stands behind the last break. */
function* linesBackwards(file: number, size: number): Generator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (let end = size; end > 0; ) {
    if (rest.length > LINE_MAX) return;
    const begin = Math.max(0, end - CHUNK_BYTES);
    const bytes = Buffer.concat([readBytes(file, begin, end - begin), rest]);
    let stop = bytes.length;
    for (let at = bytes.lastIndexOf(BREAK); at !== -1; at = bytes.subarray(0, at).lastIndexOf(BREAK)) {
      yield bytes.subarray(at + 1, stop);
      stop = at;
    }
    rest = bytes.subarray(0, stop);
    end = begin;
  }
  yield rest;
}

function readBytes(file: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, from));
}
