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
  return ({ timeMs, method, path, route, status, durationMs, requestId, traceId }) => {
    const microseconds = Math.round(durationMs * 1000);
    sink.write(
      `{"level":"info","time":${timeMs},${origin},"method":"${method}","path":${JSON.stringify(path)},` +
        `"route":"${route}","status":${status},"duration_ms":${microseconds / 1000},` +
        `"request_id":"${requestId}","trace_id":"${traceId}","msg":"request"}\n`,
    );
  };
}
