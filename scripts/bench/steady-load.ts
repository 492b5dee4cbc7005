// Requests at moments that are fixed before, as strangers send them: one that is late because an answer was slow counts as late
// (coordinated omission). Autocannon's `overallRate` lets each connection send its share of a second back to back at the
// second's beginning, which is full load for a part of it and none for the rest.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface SteadyLoadOptions {
  readonly url: string;
  readonly connections: number;
  /** Requests a second, at equal distances. */
  readonly rate: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly pickPath: () => string;
}

export interface SteadyLoadResult {
  /** Milliseconds from the moment a request was due to the end of its answer, in ascending order. */
  readonly latencies: readonly number[];
  /** Answers that were no redirect, and connections that broke. */
  readonly failures: number;
}

const TICK_MS = 1;
/** For answers that are still out when the last request was due. */
const ANSWERS_WITHIN_MS = 10_000;
const END_OF_HEAD = Buffer.from('\r\n\r\n');

interface Connection {
  readonly socket: Socket;
  /** When the request that it waits for was due. */
  dueAt: number;
  received: Buffer;
}

export async function loadSteadily(options: SteadyLoadOptions): Promise<SteadyLoadResult> {
  const { url, connections, rate, seconds, headers, pickPath } = options;
  const { hostname, port, host } = new URL(url);
  const fields = Object.entries({ Host: host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  const rest = ` HTTP/1.1\r\n${fields.join('')}\r\n`;
  const idle: Connection[] = [];
  /** Due, and every connection is busy. */
  const late: number[] = [];
  const latencies: number[] = [];
  let failures = 0;
  let open = connections;

  async function openOne(): Promise<Connection> {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    const connection: Connection = { socket, dueAt: 0, received: Buffer.alloc(0) };
    socket.on('data', (bytes) => receive(connection, bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      open--;
      if (!isOver()) failures++;
    });
    return connection;
  }

  function send(connection: Connection, dueAt: number): void {
    connection.dueAt = dueAt;
    connection.socket.write(`GET ${pickPath()}${rest}`);
  }

  /** A redirect has no body. */
  function receive(connection: Connection, bytes: Buffer): void {
    connection.received =
      connection.received.length === 0 ? bytes : Buffer.concat([connection.received, bytes]);
    if (!connection.received.subarray(-4).equals(END_OF_HEAD)) return;
    latencies.push(performance.now() - connection.dueAt);
    if (!connection.received.toString('latin1', 9, 10).startsWith('3')) failures++;
    connection.received = Buffer.alloc(0);
    const dueAt = late.shift();
    if (dueAt === undefined) idle.push(connection);
    else send(connection, dueAt);
  }

  const total = Math.round(rate * seconds);
  const isOver = (): boolean => latencies.length >= total;
  idle.push(...(await Promise.all(Array.from({ length: connections }, openOne))));
  const startedAt = performance.now();
  const dueAtOf = (request: number): number => startedAt + (request * 1000) / rate;
  let sent = 0;
  await new Promise<void>((resolve) => {
    const ticking = setInterval(() => {
      const now = performance.now();
      for (; sent < total && dueAtOf(sent) <= now; sent++) {
        const dueAt = dueAtOf(sent);
        const connection = idle.shift();
        if (connection === undefined) late.push(dueAt);
        else send(connection, dueAt);
      }
      if (!isOver() && open > 0 && now - startedAt < seconds * 1000 + ANSWERS_WITHIN_MS) return;
      clearInterval(ticking);
      resolve();
    }, TICK_MS);
  });
  failures += total - latencies.length;
  for (const { socket } of idle) socket.destroy();
  return { latencies: latencies.sort((a, b) => a - b), failures };
}
