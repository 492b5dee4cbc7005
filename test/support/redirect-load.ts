/**
 * Clients that each keep one connection, follow random keys, and ask again as soon as the bytes of their answer have arrived, or a
 * while after. Written on sockets, because node's own client would be slower than the service. It knows what was answered and what
 * was on its way when the service died.
 */

import net from 'node:net';
import type { Random } from './seed.ts';

export interface RedirectLoadOptions {
  readonly url: string;
  readonly connections: number;
  readonly keys: readonly string[];
  readonly random: Random;
  /** That a client waits between an answer and its next request; left out: not at all. */
  readonly restMs?: number;
}

export interface RedirectLoadResult {
  /** Redirects whose bytes have arrived, by key. */
  readonly answered: ReadonlyMap<string, number>;
  readonly answeredTotal: number;
  /** Requests that were sent and not answered, by key. */
  readonly inFlight: ReadonlyMap<string, number>;
  readonly inFlightTotal: number;
  /** Statuses of answers that are no redirect. */
  readonly refusals: readonly number[];
  readonly connectionsOpened: number;
}

export interface RedirectLoad {
  /** Answers so far. */
  answers(): number;
  /** Asks nothing more, and lets what is under way end: for a service that lives. */
  stop(): Promise<RedirectLoadResult>;
  /** Resolves once each client has lost its service. */
  ended(): Promise<RedirectLoadResult>;
}

const RECONNECT_MS = 5;

/** With `reconnects` a lost connection between two requests is opened anew, as across reloads; without, it is the end. */
export function startRedirectLoad(options: RedirectLoadOptions & { reconnects: boolean }): RedirectLoad {
  const { url, connections, keys, random, restMs, reconnects } = options;
  const { hostname: host, port } = new URL(url);
  const answered = new Map<string, number>();
  const inFlight = new Map<string, number>();
  const refusals: number[] = [];
  let answers = 0;
  let connectionsOpened = 0;
  let isStopping = false;

  function runClient(): Promise<void> {
    return new Promise((resolve) => open(resolve));
  }

  function open(resolve: () => void): void {
    const socket = net.connect({ host, port: Number(port), noDelay: true });
    let asked: string | null = null;
    let received = '';
    socket.setEncoding('latin1');
    socket.once('connect', () => {
      connectionsOpened++;
      ask();
    });
    socket.on('data', (text: string) => {
      received += text;
      const answer = readAnswer(received);
      if (answer === null) return;
      received = '';
      note(answer.status);
      if (answer.isLast || isStopping) socket.end();
      else if (restMs === undefined) ask();
      else setTimeout(askAgain, restMs);
    });
    // A close follows.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (asked !== null) add(inFlight, asked);
      if (!reconnects || isStopping) resolve();
      else setTimeout(open, RECONNECT_MS, resolve);
    });

    function askAgain(): void {
      // It may have been closed meanwhile, which is its right between two requests.
      if (isStopping) socket.end();
      else if (socket.writable) ask();
    }

    function ask(): void {
      asked = keys[Math.floor(random() * keys.length)] as string;
      socket.write(`GET /${asked} HTTP/1.1\r\nHost: sho.rt\r\nUser-Agent: ${AGENT}\r\n\r\n`);
    }

    function note(status: number): void {
      if (status === 302) {
        add(answered, asked as string);
        answers++;
      } else refusals.push(status);
      asked = null;
    }
  }

  const clients = Array.from({ length: connections }, runClient);
  const result = async (): Promise<RedirectLoadResult> => {
    await Promise.all(clients);
    const inFlightTotal = [...inFlight.values()].reduce((sum, count) => sum + count, 0);
    return { answered, answeredTotal: answers, inFlight, inFlightTotal, refusals, connectionsOpened };
  };
  return {
    answers: () => answers,
    stop: () => {
      isStopping = true;
      return result();
    },
    ended: result,
  };
}

const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';

/** Null until it is whole. */
function readAnswer(received: string): { status: number; isLast: boolean } | null {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? 0);
  if (received.length < end + 4 + length) return null;
  return { status: Number(received.slice(9, 12)), isLast: /\r\nconnection: close\r\n/i.test(received) };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
