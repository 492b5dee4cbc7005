/** A server's address that stays while what is behind it changes: another server, or the same one far away. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Test } from 'tap';
import type { NetworkHost } from './network.ts';
import { NODE_ARGS } from './server-process.ts';

export interface RelayOrder {
  /** Where it listens. */
  readonly address: string;
  readonly port: number;
  readonly to: { readonly host: string; readonly port: number };
  /** How late answers are. */
  readonly delayMs: number;
}

export interface Relay {
  /** Of connections from now on. */
  lead(to: RelayOrder['to']): Promise<void>;
  /** Of all answers from now on. */
  delay(ms: number): Promise<void>;
}

export async function startRelay(
  t: Test,
  { on, port, to }: { on: NetworkHost; port: number; to: RelayOrder['to'] },
): Promise<Relay> {
  const [command, ...args] = [...on.enter, process.execPath, ...NODE_ARGS] as [string, ...string[]];
  const child = spawn(command, [...args, resolve('test/support/relay-process.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let order: RelayOrder = { address: on.address, port, to, delayMs: 0 };
  async function send(change: Partial<RelayOrder>): Promise<void> {
    order = { ...order, ...change };
    child.send(order);
    await once(child, 'message');
  }
  await send({});
  return { lead: (server) => send({ to: server }), delay: (ms) => send({ delayMs: ms }) };
}
