/**
 * A host as the roll sees it: verbs with arguments, answered with values. The program that answers (host/) is sent along and lies under
 * the hash of its files, so that old and new deploys do not meet.
 */

import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Archive } from '../release/archive.ts';
import { type Answer, type Transport, TransportError } from '../transport/transport.ts';
import { quote } from './quote.ts';
import { NOT_THERE, openSession, type Reply, type Session } from './session.ts';

export interface HostClient {
  readonly name: string;
  /** Begins to connect, and waits for nothing: whoever asks later has it by then. */
  connect(): void;
  /** `body` follows the request. Throws HostFailure with what the host says, or TransportError: NotThereError before it was given base and program. */
  call<T>(verb: string, args?: unknown, body?: Readable): Promise<T>;
  /** Gives the host the program that answers, which needs the base. Resolves with the bytes that were sent. */
  sendTool(): Promise<number>;
  /** Only where there is none: what is in use is changed by provisioning, one drained host at a time. */
  sendBase(base: Archive): Promise<number>;
  /** Whether it was ever given a base. */
  hasBase(): Promise<boolean>;
  /** Runs a line of shell, for what comes before the host's own program. Throws TransportError with what it said when it fails. */
  run(script: string): Promise<string>;
  /** Any command, with what it says and how it ends. */
  exec(argv: readonly string[]): Promise<Answer>;
  /** From now on calls carry this lease. */
  claim(claim: { readonly deploy: string; readonly epoch: number } | null): void;
  /** From now on it is talked to with the program and the Node that are there now. */
  begin(): void;
  close(): Promise<void>;
}

/** A host answered that it did not do it. */
export class HostFailure extends Error {
  override name = 'HostFailure';
  readonly host: string;
  readonly code: string;
  readonly evidence: readonly string[];

  constructor(
    host: string,
    {
      code,
      message,
      evidence,
    }: { readonly code: string; readonly message: string; readonly evidence: readonly string[] },
  ) {
    super(message);
    this.host = host;
    this.code = code;
    this.evidence = evidence;
  }
}

/** Longer than a switch or a proof may take on the host; one that is gone is known by its connection. */
const ANSWER_MS = 420_000;
/** Nobody knows how long a migration takes, nor a copy of what there is. */
const LONG_MS = 6 * 60 * 60 * 1000;
const LONG: readonly string[] = ['rehearse', 'migrate'];
const SEND_MS = 600_000;
/** A step of a deploy that is over may still be at work there: it is waited for. */
const BUSY_MS = 120_000;
/** A connection that broke in the middle of a deploy may come back. */
const RECONNECT_MS = 15_000;
const RECONNECT_AGAIN_MS = 500;
const BUSY_AGAIN_MS = 200;

function timeFor(verb: string, usualMs: number): number {
  return LONG.includes(verb) ? LONG_MS : usualMs;
}

interface Request {
  readonly root: string;
  readonly verb: string;
  readonly args?: unknown;
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function createHostClient({
  name,
  root,
  transport,
  tool,
}: {
  readonly name: string;
  readonly root: string;
  readonly transport: Transport;
  readonly tool: Archive;
}): HostClient {
  const node = `${root}/base/current/bin/node`;
  const program = `${root}/tool/${tool.id}/main.js`;
  const serve = `test -e ${quote(program)} && exec ${quote(node)} ${quote(program)} serve; exit ${NOT_THERE}`;
  let lease: { deploy: string; epoch: number } | null = null;

  let session: Session | null = null;
  /** It was waited for once, and did not come back: from now on it is asked and not waited for. */
  let isLost = false;

  async function call<T>(verb: string, args?: unknown, body?: Readable): Promise<T> {
    const deadlineMs = performance.now() + timeFor(verb, BUSY_MS);
    for (;;) {
      const request = { root, verb, args, ...(lease !== null && { claim: lease }) };
      const reply = body === undefined ? await converseAgain(request) : await askOnce(request, body);
      if (!('error' in reply)) return reply.ok as T;
      const isBusy = reply.error.code === 'busy' && body === undefined && verb !== 'renew';
      if (!isBusy || performance.now() > deadlineMs) throw new HostFailure(name, reply.error);
      await rest(BUSY_AGAIN_MS);
    }
  }

  /** In a deploy a connection that broke is given some time: every step may be done twice, and what a host has begun it ends. */
  async function converseAgain(request: Request): Promise<Reply> {
    for (let deadlineMs = Number.POSITIVE_INFINITY; ; await rest(RECONNECT_AGAIN_MS)) {
      try {
        const reply = await converse(request);
        isLost = false;
        return reply;
      } catch (error) {
        const isBroken = error instanceof TransportError && session?.isOpen === false;
        deadlineMs = Math.min(deadlineMs, performance.now() + RECONNECT_MS);
        isLost ||= isBroken && performance.now() >= deadlineMs;
        if (!isBroken || lease === null || isLost) throw error;
      }
    }
  }

  function converse(request: Request): Promise<Reply> {
    return connect().ask(request, timeFor(request.verb, ANSWER_MS));
  }

  /** One that broke off is begun anew by whoever comes next. */
  function connect(): Session {
    if (session?.isOpen !== true) session = openSession(name, transport, ['sh', '-c', serve]);
    return session;
  }

  async function askOnce(request: object, body: Readable): Promise<Reply> {
    const { code, stdout, stderr } = await transport.run([node, program], {
      input: [`${JSON.stringify(request)}\n`, body],
      timeoutMs: SEND_MS,
    });
    const line = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (line.startsWith('{')) return JSON.parse(line) as Reply;
    const said = `${stdout}\n${stderr}`.split('\n').filter((text) => text.trim() !== '');
    throw new TransportError(`${name} did not answer (${code}): ${said.at(-1) ?? 'it said nothing'}`);
  }

  /** Archives of what is needed before the host's own program runs: with sh and tar alone. */
  async function send(folder: string, archive: Archive, { link }: { link: string | null }): Promise<number> {
    const path = `${root}/${folder}/${archive.id}`;
    // What is in use is changed by provisioning alone, one drained host at a time.
    const linked =
      link === null
        ? ''
        : ` && { [ -e ${quote(`${root}/${folder}/${link}`)} ] || ln -sfn ${quote(archive.id)} ${quote(`${root}/${folder}/${link}`)}; }`;
    const has = await transport.run(['sh', '-c', `test -d ${quote(path)}${linked}`], {
      timeoutMs: ANSWER_MS,
    });
    if (has.code === 0) return 0;
    // Somebody else may send the same, and one that was ended has left its own.
    const script = `set -e; umask 027; incoming=${quote(path)}.incoming.$$; trap 'rm -rf "$incoming"' EXIT
      mkdir -p "$incoming"; tar -xzf - -C "$incoming"
      rm -rf ${quote(path)}; mv "$incoming" ${quote(path)}${linked}`;
    const { code, stderr } = await transport.run(['sh', '-c', script], {
      input: [createReadStream(archive.file)],
      timeoutMs: SEND_MS,
    });
    if (code !== 0)
      throw new TransportError(
        `${name} did not take ${archive.id} (${code}): ${stderr.trim().split('\n')[0]}`,
      );
    return archive.bytes;
  }

  return {
    name,
    // Asked already, so that its program has loaded what it needs by then. Whoever asks next is told what is amiss.
    connect: () => void converse({ root, verb: 'inspect' }).catch(() => undefined),
    call,
    sendTool: () => send('tool', tool, { link: null }),
    sendBase: (base) => send('base', base, { link: 'current' }),
    async hasBase() {
      const { code } = await transport.run(['sh', '-c', `test -x ${quote(node)}`], { timeoutMs: ANSWER_MS });
      return code === 0;
    },
    async run(script) {
      const { code, stdout, stderr } = await transport.run(['sh', '-c', script], { timeoutMs: ANSWER_MS });
      if (code !== 0) throw new TransportError(`${name} said (${code}): ${stderr.trim()}`);
      return stdout;
    },
    // By a shell, which says of what is not there the same everywhere.
    exec: (argv) => transport.run(['sh', '-c', 'exec "$@"', 'sh', ...argv], { timeoutMs: ANSWER_MS }),
    claim(claim) {
      lease = claim;
    },
    begin() {
      session?.close();
      session = null;
    },
    async close() {
      session?.close();
      await transport.close();
    },
  };
}
