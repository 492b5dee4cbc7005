// A process that carries bytes between whoever connects and a server, and can be told to be slow, or to have another server behind
// it. Started by relay.ts.
import { connect, createServer, type Socket } from 'node:net';
import type { RelayOrder } from './relay.ts';

let order: RelayOrder | null = null;

const server = createServer({ noDelay: true }, (client) => {
  if (order === null) return void client.destroy();
  const behind = connect({ ...order.to, noDelay: true });
  client.pipe(behind);
  carryBack(behind, client);
  for (const [one, other] of [
    [client, behind],
    [behind, client],
  ] as const) {
    // A close follows.
    one.on('error', () => undefined);
    one.on('close', () => other.destroy());
  }
});

/** Answers are late by what is ordered, and stay in their order. */
function carryBack(from: Socket, to: Socket): void {
  let lastAt = 0;
  from.on('data', (bytes) => {
    lastAt = Math.max(lastAt, Date.now() + (order?.delayMs ?? 0));
    const waitMs = lastAt - Date.now();
    if (waitMs <= 0) to.write(bytes);
    else setTimeout(() => to.write(bytes), waitMs);
  });
}

process.on('message', (message: RelayOrder) => {
  order = message;
  if (server.listening) process.send?.('done');
  else server.listen(message.port, message.address, () => process.send?.('done'));
});
process.on('disconnect', () => process.exit());
