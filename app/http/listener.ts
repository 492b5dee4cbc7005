/**
 * One listening port: bounded in connections and time, and able to stop without dropping anybody.
 *
 * Stopping, because plain `server.close()` resets clients that reuse their connection (measured: one reset per connection
 * and reload):
 *
 *   1. The port is closed, open connections stay. Under PM2 the next process has it already.
 *   2. Every answer from now on says `Connection: close`.
 *   3. Whoever has been idle for a second, also before, is idle for good, and is ended.
 *   4. What is in flight finishes, up to the deadline; then it is cut.
 */

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import net, { type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createConcurrencyLimit } from '../guard/concurrency-limit.ts';
import type { Clock } from '../kernel/clock.ts';
import { StartError } from '../kernel/errors.ts';

export interface ListenerDeps {
  readonly clock: Clock;
  readonly handle: RequestListener;
  /** Runs once for each request, when its answer is written or its client is gone. */
  readonly onClosed: (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * A request that cannot be parsed or came too slowly. Runs once for a connection, after the answers to the requests
   * before it.
   */
  readonly onClientError: (error: NodeJS.ErrnoException, socket: Duplex) => void;
  /** Whom a connection counts for, by its address; null: nobody. */
  readonly clientOf: (address: string | undefined) => string | null;
  readonly onConnectionDropped: () => void;
}

/** How long and how much one client may ask of the port. */
export interface ListenerLimits {
  /** For the headers of a request. */
  readonly headersTimeoutMs: number;
  /** For a whole request. */
  readonly requestTimeoutMs: number;
  /** For taking a whole answer, once it is made; and while it is made piece by piece, for taking one more of them. */
  readonly answerTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** How often the time-outs are looked at. */
  readonly timeoutCheckMs: number;
  readonly connectionsMax: number;
  /** Of those; beyond it a client's connections are dropped, too. */
  readonly connectionsPerClientMax: number;
  /** Requests that one connection may send ahead of their answers; beyond that it is cut. */
  readonly pipelinedMax: number;
}

export interface Listener {
  /** Throws StartError with a sentence when the port cannot be had. */
  listen(port: number, host: string): Promise<void>;
  /** The port in use. */
  port(): number;
  /** Those that are open. */
  countConnections(): number;
  /** Resolves once no connection is left. */
  stop(deadlineMs: number): Promise<void>;
}

/** Since when a client has taken no more than that of its answer. */
interface Unread {
  readonly sinceMs: number;
  readonly taken: number;
}

const LIMITS: ListenerLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  answerTimeoutMs: 30_000,
  // Longer than a load balancer's idle time-out (60 s), so that it is never we who close first.
  keepAliveTimeoutMs: 65_000,
  timeoutCheckMs: 1000,
  connectionsMax: 10_000,
  // One address must not fill the port, and an office or a carrier behind one needs some hundreds.
  connectionsPerClientMax: 2000,
  // No browser and no proxy of note sends ahead at all.
  pipelinedMax: 32,
};
const HEADER_BYTES_MAX = 16 * 1024;
const IDLE_BEFORE_END_MS = 1000;
const LOOK_EVERY_MS = 100;

/** An open connection. */
interface Connection {
  readonly socket: Socket;
  /** Answers that it has not taken. */
  readonly responses: Set<ServerResponse>;
  /** What it had sent when it had taken the last of them: more is another request. Null: that one is not sent to its end. */
  bytesRead: number | null;
  /** When that was. */
  idleSinceMs: number;
}

/** `limits` replaces some of the usual ones, for tests that would wait too long for them. */
export function createListener(deps: ListenerDeps, limits: Partial<ListenerLimits> = {}): Listener {
  const { clock, handle, onClosed, onClientError, clientOf, onConnectionDropped } = deps;
  const {
    headersTimeoutMs,
    requestTimeoutMs,
    answerTimeoutMs,
    keepAliveTimeoutMs,
    timeoutCheckMs,
    connectionsMax,
    connectionsPerClientMax,
    pipelinedMax,
  } = { ...LIMITS, ...limits };
  const connections = new Map<Socket, Connection>();
  const perClient = createConcurrencyLimit(connectionsPerClientMax);
  const malformed = new WeakSet<Duplex>();
  let isStopping = false;

  const server = createServer({
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: timeoutCheckMs,
    maxHeaderSize: HEADER_BYTES_MAX,
    // The envelope checks it, with an answer like any other.
    requireHostHeader: false,
  });
  server.maxConnections = connectionsMax;
  server.on('drop', onConnectionDropped);
  server.on('clientError', (error, socket) => {
    // Whatever comes after what could not be parsed cannot be parsed either.
    if (malformed.has(socket)) return;
    malformed.add(socket);
    const answer = () => onClientError(error, socket);
    const { responses } = connectionOf(socket);
    const last = [...responses].filter(({ req }) => req.complete).at(-1);
    if (last === undefined) answer();
    else last.once('close', answer);
  });
  server.on('connection', (socket) => {
    if (!isAdmitted(socket)) {
      socket.destroy();
      onConnectionDropped();
      return;
    }
    connections.set(socket, {
      socket,
      responses: new Set(),
      bytesRead: 0,
      idleSinceMs: clock.monotonicMs(),
    });
    socket.once('close', () => connections.delete(socket));
  });
  const onRequest: RequestListener = (request, response) => {
    const connection = connectionOf(request.socket);
    if (connection.responses.size === pipelinedMax) {
      request.socket.destroy();
      return;
    }
    connection.responses.add(response);
    response.on('close', () => {
      connection.responses.delete(response);
      onClosed(request, response);
      settle(connection, request);
      // An answer may overtake the rest of its request.
      if (!request.complete) request.once('close', () => settle(connection, request));
    });
    if (isStopping) response.shouldKeepAlive = false;
    handle(request, response);
  };
  server.on('request', onRequest);
  // An expectation that nobody knows may be ignored (RFC 9110, section 10.1.1); Node's own 417 would lack our headers.
  server.on('checkExpectation', onRequest);

  server.on('listening', () => {
    const sweep = setInterval(cutUnread, timeoutCheckMs);
    server.once('close', () => clearInterval(sweep));
  });

  function isAdmitted(socket: Socket): boolean {
    const client = clientOf(socket.remoteAddress);
    if (client === null) return true;
    if (!perClient.enter(client)) return false;
    socket.once('close', () => perClient.leave(client));
    return true;
  }

  /** Nobody asks about one that is closed. */
  function connectionOf(socket: Duplex): Connection {
    return connections.get(socket as Socket) as Connection;
  }

  function settle(connection: Connection, { complete }: IncomingMessage): void {
    connection.bytesRead = complete ? connection.socket.bytesRead : null;
    connection.idleSinceMs = clock.monotonicMs();
  }

  function* openResponses(): Generator<ServerResponse> {
    for (const { responses } of connections.values()) yield* responses;
  }

  let unread = new Map<ServerResponse, Unread>();

  /**
   * Ends clients that do not take their answers; Node bounds only how long they may ask. Answers are looked at from time to
   * time, because a timer for each would cost every redirect. One that waits behind another has no socket yet.
   */
  function cutUnread(): void {
    const nowMs = performance.now();
    const before = unread;
    unread = new Map();
    for (const response of openResponses()) {
      const { socket } = response;
      const taken = socket && bytesTaken(response, socket);
      if (taken === null) continue;
      const known = before.get(response);
      const sinceMs = known?.taken === taken ? known.sinceMs : nowMs;
      unread.set(response, { sinceMs, taken });
      if (nowMs - sinceMs >= answerTimeoutMs) response.destroy();
    }
  }

  /**
   * Ends who has been idle for its time. Node's closeIdleConnections() would also cut answers that are made but not taken.
   * Half a request is left to the time-outs and the deadline, unless it came along with the request before it.
   */
  function endIdle(): void {
    const nowMs = clock.monotonicMs();
    for (const { socket, responses, bytesRead, idleSinceMs } of connections.values()) {
      const isIdle = responses.size === 0 && socket.bytesRead === bytesRead;
      if (isIdle && nowMs - idleSinceMs >= IDLE_BEFORE_END_MS) socket.destroy();
    }
  }

  return {
    listen(port, host) {
      return new Promise((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
        server.listen({ port, host, backlog: 1024 }, () => {
          server.removeAllListeners('error');
          resolve();
        });
      });
    },

    port() {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('The listener does not listen.');
      return address.port;
    },

    countConnections: () => connections.size,

    async stop(deadlineMs) {
      isStopping = true;
      for (const response of openResponses()) response.shouldKeepAlive = false;
      // http's own close() would end idle connections at once, in the face of a request on its way.
      const closed = new Promise((resolve) => net.Server.prototype.close.call(server, resolve));
      const untilMs = clock.monotonicMs() + deadlineMs;
      let done = false;
      void closed.then(() => {
        done = true;
      });
      while (!done && clock.monotonicMs() < untilMs) {
        await Promise.race([closed, clock.sleep(LOOK_EVERY_MS)]);
        endIdle();
      }
      server.closeAllConnections();
      await closed;
    },
  };
}

/**
 * How much a client has taken of an answer that waits for it; null: none does. Of one that is whole nothing counts, as a client
 * could take it byte by byte for ever.
 */
function bytesTaken({ writableEnded, writableNeedDrain }: ServerResponse, socket: Socket): number | null {
  if (writableEnded) return Number.POSITIVE_INFINITY;
  return writableNeedDrain ? socket.bytesWritten - socket.writableLength : null;
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): StartError {
  const place = `${host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new StartError(
        `${place} is in use by another process. Stop it, or set PORT or MANAGEMENT_PORT to a free port.`,
      );
    case 'EACCES':
      return new StartError(`${place} is not allowed: ports below 1024 need root. Choose a higher one.`);
    case 'EADDRNOTAVAIL':
      return new StartError(
        `${host} is no address of this machine. Set HOST or MANAGEMENT_HOST to one that is.`,
      );
    default:
      return new StartError(`${place} cannot be listened on (${error.message}).`);
  }
}
