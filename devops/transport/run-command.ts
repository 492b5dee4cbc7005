/** Runs a program of this machine, which may be one that reaches another. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Readable, Readable as Stream } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Answer, type Pipe, type RunOptions, TransportError } from './transport.ts';

type RunEnvironment = Readonly<Record<string, string>> | undefined;

/** What a host may say: lists of some thousand layers are far below. */
const OUTPUT_MAX = 16 * 1024 * 1024;
const TOO_MUCH = 'The host says more than anybody asked for.';

export async function runCommand(
  [program, ...args]: readonly string[],
  { input = [], timeoutMs, env }: RunOptions & { readonly env?: Readonly<Record<string, string>> },
): Promise<Answer> {
  if (program === undefined) throw new TransportError('There is no command.');
  const child = start(program, args, env);
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    // What it started may hold on to them: a shared connection of ssh does until the command at its other end is over.
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
  }, timeoutMs);
  try {
    const closed = once(child, 'close');
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    // A program that ends early does not read all of it, which its code tells.
    const sent = pipeline(Stream.from(chunksOf(input)), child.stdin).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    });
    const [[code, signal]] = (await Promise.all([closed, sent])) as [
      [number | null, NodeJS.Signals | null],
      unknown,
    ];
    if (code === null) {
      const why =
        signal === 'SIGKILL' ? `gave no answer within ${timeoutMs / 1000} s` : `was ended by ${signal}`;
      throw new TransportError(`${program} ${why}.`);
    }
    return { code, stdout: stdout(), stderr: stderr() };
  } catch (error) {
    if (error instanceof TransportError) throw error;
    throw new TransportError(`${program} cannot be run: ${(error as Error).message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function start(program: string, args: readonly string[], env: RunEnvironment) {
  // Out of the reach of a terminal: Ctrl-C is for us, and what is under way on a host is finished.
  return spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...(env !== undefined && { env }),
  });
}

/** Starts a program and leaves it running: `closed` tells its end. */
export function openCommand(
  [program, ...args]: readonly string[],
  onLine: (line: string) => void,
  env?: Readonly<Record<string, string>>,
): Pipe {
  if (program === undefined) throw new TransportError('There is no command.');
  const child = start(program, args, env);
  const stderr = collect(child.stderr);
  let rest = '';
  let isTooLong = false;
  // What stands behind the last line break was cut off.
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) onLine(line);
    if (rest.length <= OUTPUT_MAX) return;
    isTooLong = true;
    child.kill('SIGKILL');
  });
  // It may end while it is written to, which `closed` tells.
  child.stdin.on('error', () => undefined);
  const closed = new Promise<Pick<Answer, 'code' | 'stderr'>>((resolve, reject) => {
    child.once('error', (error) =>
      reject(new TransportError(`${program} cannot be run: ${error.message}`, { cause: error })),
    );
    child.once('close', (code) => {
      try {
        if (isTooLong) throw new TransportError(TOO_MUCH);
        resolve({ code: code ?? 1, stderr: stderr() });
      } catch (error) {
        reject(error);
      }
    });
  });
  return { write: (text) => void child.stdin.write(text), end: () => void child.stdin.end(), closed };
}

async function* chunksOf(parts: readonly (string | Readable)[]): AsyncGenerator<Buffer> {
  for (const part of parts) {
    if (typeof part === 'string') yield Buffer.from(part);
    else for await (const chunk of part) yield chunk as Buffer;
  }
}

/** What came so far. */
function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length <= OUTPUT_MAX) text += chunk;
  });
  return () => {
    if (text.length > OUTPUT_MAX) throw new TransportError(TOO_MUCH);
    return text;
  };
}
