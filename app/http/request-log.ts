/**
 * The line that tells of a request. Its fields are a closed set of which only the path needs escaping, so it is put
 * together here: pino would look at each field anew (measured: 5 µs of 25, against 1). It has the shape of all other lines
 * and leaves with them.
 */

import type { LineSink } from '../kernel/line-batch.ts';

export interface RequestLine {
  readonly timeMs: number;
  readonly method: string;
  /** Without its query, which may hold what is nobody's business. */
  readonly path: string;
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
  readonly requestId: string;
  readonly traceId: string;
}

export type RequestLog = (line: RequestLine) => void;

export interface RequestLogDeps {
  readonly sink: LineSink;
  readonly pid: number;
  readonly release: string;
}

export function createRequestLog({ sink, pid, release }: RequestLogDeps): RequestLog {
  const origin = `"pid":${pid},"release":${JSON.stringify(release)}`;
  // What most lines of a moment have in common is put together once.
  const begin = rememberLast(
    (timeMs: number, method: string) =>
      `{"level":"info","time":${timeMs},${origin},"method":"${method}","path":`,
  );
  const goOn = rememberLast(
    (status: number, route: string) => `,"route":"${route}","status":${status},"duration_ms":`,
  );
  return ({ timeMs, method, path, route, status, durationMs, requestId, traceId }) => {
    sink.write(
      `${begin(timeMs, method)}${quote(path)}${goOn(status, route)}${toMilliseconds(durationMs)},` +
        `"request_id":"${requestId}","trace_id":"${traceId}","msg":"request"}\n`,
    );
  };
}

function rememberLast(make: (number: number, text: string) => string): typeof make {
  let known = { number: Number.NaN, text: '', made: '' };
  return (number, text) => {
    if (number !== known.number || text !== known.text) known = { number, text, made: make(number, text) };
    return known.made;
  };
}

/** Nothing in it that JSON escapes. */
const PLAIN = /^[\w/.~-]*$/;

function quote(path: string): string {
  return PLAIN.test(path) ? `"${path}"` : JSON.stringify(path);
}

/** With three digits behind the point: whole numbers become text faster than fractions. */
function toMilliseconds(durationMs: number): string {
  const microseconds = Math.round(durationMs * 1000);
  const rest = microseconds % 1000;
  return `${Math.floor(microseconds / 1000)}${THOUSANDTHS[rest]}`;
}

const THOUSANDTHS = Array.from({ length: 1000 }, (_, rest) => `.${String(rest).padStart(3, '0')}`);
