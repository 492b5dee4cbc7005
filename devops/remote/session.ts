/**
 * A conversation with the program on a host: it is started once, and answers requests by their number, several at a time. Whoever
 * started it may go away: what it has begun it ends.
 */

import { NotThereError, type Pipe, type Transport, TransportError } from '../transport/transport.ts';

export interface Session {
  /** Rejects with TransportError once the host cannot be talked to any more, or the time is over; with NotThereError where it has no program. */
  ask(request: object, timeoutMs: number): Promise<Reply>;
  readonly isOpen: boolean;
  close(): void;
}

export type Reply =
  | { readonly ok: unknown }
  | {
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly evidence: readonly string[];
      };
    };

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Of what is no answer. */
const SHOWN = 200;
/** What a shell ends with where there is no such command. */
export const NOT_THERE = 127;

export function openSession(name: string, transport: Transport, argv: readonly string[]): Session {
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let isOpen = true;
  let said = '';

  function end(error: Error): void {
    isOpen = false;
    for (const { reject, timer } of waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    waiting.clear();
  }

  function take(line: string): void {
    if (!line.startsWith('{')) {
      said = line;
      return;
    }
    let answer: Reply & { readonly id: number };
    try {
      answer = JSON.parse(line);
    } catch {
      end(new TransportError(`${name} said what is no answer: ${line.slice(0, SHOWN)}`));
      pipe.end();
      return;
    }
    const { id, ...reply } = answer;
    const one = waiting.get(id);
    // Its time was over.
    if (one === undefined) return;
    waiting.delete(id);
    clearTimeout(one.timer);
    one.resolve(reply as Reply);
  }

  const pipe: Pipe = transport.open(argv, take);
  pipe.closed.then(
    ({ code, stderr }) => {
      if (code === NOT_THERE) return end(new NotThereError(`${name} has no program of ours.`));
      const lines = stderr.trim().split('\n');
      const last = lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1) ?? '';
      end(new TransportError(`${name} stopped answering (${code}): ${last || said || 'it said nothing'}`));
    },
    (error: Error) => end(error),
  );

  return {
    get isOpen() {
      return isOpen;
    },
    ask(request, timeoutMs) {
      return new Promise((resolve, reject) => {
        const id = ++asked;
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new TransportError(`${name} gave no answer within ${timeoutMs / 1000} s.`));
        }, timeoutMs);
        waiting.set(id, { resolve, reject, timer });
        pipe.write(`${JSON.stringify({ id, ...request })}\n`);
      });
    },
    close() {
      isOpen = false;
      pipe.end();
    },
  };
}
