/**
 * HTTP by hand: bytes on a socket and the answers in them, for requests that no well-behaved client can be made to send.
 */

import { once } from 'node:events';
import net from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; of several with one name the values joined by a comma. */
  readonly headers: Headers;
  readonly body: string;
}

export interface RawOptions {
  /** Stops reading after so many answers, otherwise when the server closes. */
  readonly answers?: number;
  /** The answers have no bodies, whatever their Content-Length says. */
  readonly isHead?: boolean;
  /** Gives up waiting after it, with what came until then. */
  readonly timeoutMs?: number;
}

/** Writes the bytes to the port of `url` and reads what comes back. */
export async function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  options: RawOptions = {},
): Promise<RawAnswer[]> {
  const socket = await connect(url);
  socket.write(bytes);
  return readAnswers(socket, options);
}

export async function connect(url: string): Promise<net.Socket> {
  const { hostname, port } = new URL(url);
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** Reads answers until there are enough or the server closes, and closes the socket. */
export function readAnswers(socket: net.Socket, options: RawOptions = {}): Promise<RawAnswer[]> {
  const { answers = Number.POSITIVE_INFINITY, isHead = false, timeoutMs = 20_000 } = options;
  let received = Buffer.alloc(0);
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(parseAnswers(received, isHead));
    };
    const timer = setTimeout(finish, timeoutMs);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (answers !== Number.POSITIVE_INFINITY && parseAnswers(received, isHead).length >= answers) finish();
    });
    // A reset is one of the ways in which a server may end a connection.
    socket.on('error', finish);
    socket.once('close', finish);
  });
}

/** The complete answers in what was received; a `100 Continue` is none. */
export function parseAnswers(received: Buffer, isHead = false): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = received;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [line = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1] ?? 0);
    const headers = new Headers(lines.map((text) => text.split(/: ?(.*)/s, 2) as [string, string]));
    const length = isHead ? 0 : Number(headers.get('content-length') ?? 0);
    const bodyEnd = end + 4 + length;
    if (rest.length < bodyEnd) return answers;
    const body = rest.subarray(end + 4, bodyEnd).toString();
    if (status !== 100) answers.push({ status, headers, body });
    rest = rest.subarray(bodyEnd);
  }
}
