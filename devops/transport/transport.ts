/** How a host is reached: a command runs there with what goes in, and what it says comes back. */

import type { Readable } from 'node:stream';

export interface Transport {
  /** Rejects with TransportError when the host cannot be reached, or the time is over. A command that fails is an answer. */
  run(argv: readonly string[], options: RunOptions): Promise<Answer>;
  /** Starts a command that is talked to: each line that it says is told. */
  open(argv: readonly string[], onLine: (line: string) => void): Pipe;
  close(): Promise<void>;
}

export interface Pipe {
  write(text: string): void;
  /** Nothing more is written, so it ends by itself. */
  end(): void;
  /** Its end. Rejects with TransportError where it could not be started, or the connection broke. */
  readonly closed: Promise<Pick<Answer, 'code' | 'stderr'>>;
}

export interface RunOptions {
  /** Standard input, in this order. */
  readonly input?: readonly (string | Readable)[];
  readonly timeoutMs: number;
}

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class TransportError extends Error {
  override name = 'TransportError';
}

/** The host is there, and what was to be run there is not. */
export class NotThereError extends TransportError {
  override name = 'NotThereError';
}
