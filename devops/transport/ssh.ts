/**
 * A host over SSH: the program of this machine, with its own configuration, and one connection for all commands. Host keys are known
 * before or there is no connection; that is never asked, and never switched off.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quoteAll } from '../remote/quote.ts';
import { openCommand, runCommand } from './run-command.ts';
import { type Answer, type Transport, TransportError } from './transport.ts';

export interface SshOptions {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly identity: string | undefined;
  /** A file of host keys; without one, those that ssh knows anyway. */
  readonly knownHosts: string | undefined;
  readonly proxyCommand: string | undefined;
}

const CONNECT_S = 10;
/** A connection that says nothing for three of these is gone. */
const ALIVE_EVERY_S = 5;
/** What ssh itself ends with when there was no connection, or it broke. */
const NO_CONNECTION = 255;

export function createSshTransport(options: SshOptions): Transport {
  // One folder for each host, so that no name of a socket can mean another host; short, because it may have 108 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'fl-'));
  const socket = join(folder, 's');
  const args = argumentsOf(options, socket);

  function requireConnection<T extends Pick<Answer, 'code' | 'stderr'>>(answer: T): T {
    if (answer.code !== NO_CONNECTION) return answer;
    const lines = answer.stderr.trim().split('\n');
    // What a proxy says comes before what ssh makes of it.
    const said = (options.proxyCommand === undefined ? lines.slice(-1) : lines).join('; ');
    throw new TransportError(
      `${options.name} (${options.address}) cannot be reached: ${said}${adviceOn(said)}`,
    );
  }

  return {
    async run(argv, given) {
      return requireConnection(await runCommand(['ssh', ...args, '--', quoteAll(argv)], given));
    },
    open(argv, onLine) {
      const pipe = openCommand(['ssh', ...args, '--', quoteAll(argv)], onLine);
      return { ...pipe, closed: pipe.closed.then(requireConnection) };
    },
    async close() {
      await runCommand(['ssh', ...args, '-O', 'exit'], { timeoutMs: 5000 }).catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function argumentsOf(
  { address, port, user, identity, knownHosts, proxyCommand }: SshOptions,
  socket: string,
): string[] {
  const settings: Record<string, string | undefined> = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    ConnectTimeout: String(CONNECT_S),
    ServerAliveInterval: String(ALIVE_EVERY_S),
    ServerAliveCountMax: '3',
    ControlMaster: 'auto',
    ControlPath: socket,
    ControlPersist: '60',
    UserKnownHostsFile: knownHosts,
    ProxyCommand: proxyCommand,
    IdentityFile: identity,
    IdentitiesOnly: identity === undefined ? undefined : 'yes',
  };
  const set = Object.entries(settings).flatMap(([name, value]) =>
    value === undefined ? [] : ['-o', `${name}=${value}`],
  );
  return [...set, '-p', String(port), '-l', user, address];
}

function adviceOn(said: string): string {
  if (/host key|known_hosts|key verification/i.test(said)) {
    return ' Fetch its key from where you trust it, and add it to ssh.known_hosts.';
  }
  if (/permission denied/i.test(said)) return ' Look at ssh.user and ssh.identity.';
  return '';
}
