/**
 * A host as the roll sees it: verbs with arguments, answered with values. The program that answers (host/) is sent along and lies under
 * the hash of its files, so that old and new deploys do not meet.
 */

import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Archive } from '../release/archive.ts';
import { type Transport, TransportError } from '../transport/transport.ts';
import { quote } from './quote.ts';

export interface HostClient {
  readonly name: string;
  /** `body` follows the request. Throws HostFailure with what the host says, or TransportError. */
  call<T>(verb: string, args?: unknown, body?: Readable): Promise<T>;
  /** Gives the host the program that answers, which needs the base. Resolves with the bytes that were sent. */
  sendTool(): Promise<number>;
  /** Only where there is none: what is in use is changed by provisioning, one drained host at a time. */
  sendBase(base: Archive): Promise<number>;
  /** Whether it was ever given a base. */
  hasBase(): Promise<boolean>;
  /** From now on calls carry this lease. */
  claim(claim: { readonly deploy: string; readonly epoch: number } | null): void;
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
    { code, message, evidence }: { code: string; message: string; evidence: readonly string[] },
  ) {
    super(message);
    this.host = host;
    this.code = code;
    this.evidence = evidence;
  }
}

const ANSWER_MS = 180_000;
const SEND_MS = 600_000;

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
  let lease: { deploy: string; epoch: number } | null = null;

  async function call<T>(verb: string, args?: unknown, body?: Readable): Promise<T> {
    const request = JSON.stringify({ root, verb, args, ...(lease !== null && { claim: lease }) });
    const { code, stdout, stderr } = await transport.run([node, program], {
      input: [`${request}\n`, ...(body === undefined ? [] : [body])],
      timeoutMs: body === undefined ? ANSWER_MS : SEND_MS,
    });
    const line = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) {
      const said = `${stdout}\n${stderr}`.split('\n').filter((text) => text.trim() !== '');
      throw new TransportError(`${name} did not answer (${code}): ${said.at(-1) ?? 'it said nothing'}`);
    }
    const answer = JSON.parse(line) as
      | { ok: T }
      | { error: { code: string; message: string; evidence: string[] } };
    if ('error' in answer) throw new HostFailure(name, answer.error);
    return answer.ok;
  }

  /** Archives of what is needed before the host's own program runs: with sh and tar alone. */
  async function send(folder: string, archive: Archive, { link }: { link: string | null }): Promise<number> {
    const path = `${root}/${folder}/${archive.id}`;
    // What is in use is changed by provisioning alone, one drained host at a time.
    const linked =
      link === null
        ? ''
        : ` && { [ -e ${quote(`${root}/${folder}/${link}`)} ] || ln -s ${quote(archive.id)} ${quote(`${root}/${folder}/${link}`)}; }`;
    const has = await transport.run(['sh', '-c', `test -d ${quote(path)}${linked}`], {
      timeoutMs: ANSWER_MS,
    });
    if (has.code === 0) return 0;
    const incoming = `${path}.incoming`;
    const script = `set -e; umask 027; rm -rf ${quote(incoming)}; mkdir -p ${quote(incoming)}; tar -xzf - -C ${quote(incoming)}
      rm -rf ${quote(path)}; mv ${quote(incoming)} ${quote(path)}${linked}`;
    const { code, stderr } = await transport.run(['sh', '-c', script], {
      input: [createReadStream(archive.file)],
      timeoutMs: SEND_MS,
    });
    if (code !== 0)
      throw new TransportError(`${name} did not take ${archive.id} (${code}): ${stderr.trim()}`);
    return archive.bytes;
  }

  return {
    name,
    call,
    sendTool: () => send('tool', tool, { link: null }),
    sendBase: (base) => send('base', base, { link: 'current' }),
    async hasBase() {
      const { code } = await transport.run(['sh', '-c', `test -x ${quote(node)}`], { timeoutMs: ANSWER_MS });
      return code === 0;
    },
    claim(claim) {
      lease = claim;
    },
    close: () => transport.close(),
  };
}
