/**
 * Where log lines go. On a terminal they are for people, elsewhere each is one JSON object. Neither a slow or vanished
 * reader nor a full disk may stop the service: what cannot be written waits in bounded memory, and what does not fit there
 * is dropped and counted. Under PM2 the lines are PM2's to keep: after a full disk it wants `pm2 reloadLogs`.
 */

import { type Logger, pino } from 'pino';
import type { Config } from './config.ts';
import type { Clock } from './kernel/clock.ts';
import { createLineBatch, type LineSink } from './kernel/line-batch.ts';

export interface LogDeps {
  readonly clock: Clock;
  readonly stdout: NodeJS.WriteStream;
  readonly pid: number;
}

export interface Log {
  /** Where the logger's lines go; whole lines may be written here too. */
  readonly lines: LineSink;
  /** `release` is null as long as the configuration is not known. */
  createLogger(options: { level: Config['LOG_LEVEL']; release: string | null }): Logger;
  /** Resolves once every line is written, or cannot be within a second. The end: nothing may be logged after it. */
  close(): Promise<void>;
}

interface Sink extends LineSink {
  flush(done: () => void): void;
  /** Forgets what is not written. */
  abandon(): void;
}

/** Lines that wait for a slow reader: some 50,000. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;
/** PM2 kills 35 s after it asked a process to stop, and the requests in flight have 30 s of them. */
const FLUSH_MAX_MS = 1000;
/** Nothing of ours logs these; should it ever happen, they do not leave the process. */
const REDACTED = ['authorization', 'secret', '*.authorization', '*.secret', '*.headers', '*["x-api-key"]'];

export async function openLog({ clock, stdout, pid }: LogDeps): Promise<Log> {
  const sink = await openSink(stdout, pid);
  const lines = createLineBatch(sink);
  return {
    lines,
    createLogger: ({ level, release }) =>
      pino(
        {
          level,
          base: release === null ? { pid } : { pid, release },
          formatters: { level: (label: string) => ({ level: label }) },
          redact: REDACTED,
        },
        lines,
      ),
    async close() {
      lines.flush();
      await Promise.race([new Promise<void>((done) => sink.flush(done)), clock.sleep(FLUSH_MAX_MS)]);
      sink.abandon();
    },
  };
}

async function openSink(stdout: NodeJS.WriteStream, pid: number): Promise<Sink> {
  if (stdout.isTTY) return openTerminal();
  // In cluster mode PM2 replaces `write`: file descriptor 1 is the daemon's own log there.
  if (Object.hasOwn(stdout, 'write')) {
    return {
      write: (line) => stdout.write(line),
      flush: (done) => stdout.write('', 'utf8', () => done()),
      abandon: () => undefined,
    };
  }
  return openDescriptor(pid);
}

async function openTerminal(): Promise<Sink> {
  const { default: pretty } = await import('pino-pretty');
  const stream = pretty({ ignore: 'pid,release,trace_id,request_id', sync: true, singleLine: true });
  return { write: (line) => stream.write(line), flush: (done) => done(), abandon: () => undefined };
}

/** Writes in the background, so that a reader that takes its time does not hold up redirects. */
function openDescriptor(pid: number): Sink {
  // With a minimum of 1 byte `flush` tries to write again; with 0 it does nothing.
  const stream = pino.destination({ dest: 1, sync: false, minLength: 1, maxLength: WAITING_BYTES_MAX });
  const own = pino({ base: { pid }, formatters: { level: (label: string) => ({ level: label }) } }, stream);
  let droppedLines = 0;
  // The lines stay in memory, and the next line is the next attempt.
  stream.on('error', () => undefined);
  stream.on('drop', (lines: string) => {
    droppedLines += countLines(lines);
    stream.flush();
  });
  stream.on('drain', () => {
    if (droppedLines === 0) return;
    own.warn({ dropped_lines: droppedLines }, 'log lines were dropped');
    droppedLines = 0;
  });
  return {
    write: (line) => stream.write(line),
    flush: (done) => stream.flush(() => done()),
    // Otherwise pino would try for ever, at exit, to write to a reader that is stuck.
    abandon: () => stream.destroy(),
  };
}

function countLines(text: string): number {
  return text.split('\n').length - 1;
}
