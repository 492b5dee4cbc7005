/**
 * What a host does for a deploy. One request in, on standard input: a line of JSON, then what belongs to it. Lines of JSON out: the
 * last one is the answer. It comes with the deploy and runs on the Node of the host, with nothing but Node's own modules.
 *
 *   {"root": "/opt/fleetlink", "verb": "switch", "claim": {…}, "args": {…}} ─▶ {"ok": …} | {"error": {"code", "message", "evidence"}}
 */

import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import {
  type Configuration,
  readServiceEnvironment,
  restoreServiceEnvironment,
  writeServiceEnvironment,
} from './environment.ts';
import { HostError } from './host-error.ts';
import { inspect } from './inspect.ts';
import { type Layout, layoutOf } from './layout.ts';
import {
  acquireLease,
  type Claim,
  type Lease,
  releaseLease,
  renewLease,
  underLease,
  underLeaseFor,
} from './lease.ts';
import { deleteService } from './pm2.ts';
import { assembleRelease, type IncomingLayer, prune, type ReleaseParts, receiveLayer } from './receive.ts';
import { migrate, type Rehearsal, rehearse } from './shadow.ts';
import { smoke } from './smoke.ts';
import { noteBad, noteCommitted } from './state.ts';
import { type ProofOptions, prove, type Switch, switchTo } from './switch.ts';
import { readTail } from './tail.ts';

interface Request {
  readonly root: string;
  readonly verb: string;
  readonly claim?: Claim;
  readonly args?: unknown;
}

type Verb = (layout: Layout, args: never, body: Readable) => unknown;

/** May be asked by anybody, at any time. */
const OPEN: Readonly<Record<string, Verb>> = {
  inspect: (layout) => inspect(layout),
  environment: (layout) => readServiceEnvironment(layout),
  logs: (layout, { lines }: { lines: number }) => readTail(layout, lines),
  acquire: (layout, asked: Pick<Lease, 'deploy' | 'holder' | 'doing'>) => acquireLease(layout, asked),
};

/** Change nothing that the service sees; the lease is looked at before. */
const LEASED: Readonly<Record<string, Verb>> = {
  receive: (layout, layer: IncomingLayer, body) => receiveLayer(layout, layer, body),
  assemble: (layout, parts: ReleaseParts) => assembleRelease(layout, parts),
  rehearse: (layout, asked: Rehearsal) => rehearse(layout, asked),
  prove: (layout, asked: ProofOptions) => prove(layout, asked),
  smoke: (layout) => smoke(layout),
};

/** Change what runs, or what is known of it: under the lock of the host. */
const LOCKED: Readonly<Record<string, Verb>> = {
  configure: (layout, configuration: Configuration) => configure(layout, configuration),
  restore: (layout, { deploy }: { deploy: string }) => restoreServiceEnvironment(layout, deploy),
  migrate: (layout, { release }: { release: string }) =>
    migrate(layout, release, { ...readServiceEnvironment(layout), MIGRATE: 'auto' }),
  switch: (layout, asked: Switch) => switchTo(layout, asked),
  remove: (layout) => remove(layout),
  commit: (layout, committed: { release: string; deploy: string }) =>
    noteCommitted(layout, { ...committed, atMs: Date.now() }),
  bad: (layout, { release, reason }: { release: string; reason: string }) => noteBad(layout, release, reason),
  journal: (layout, { deploy, lines }: { deploy: string; lines: string[] }) =>
    appendJournal(layout, deploy, lines),
  prune: (layout) => prune(layout),
};

function configure(layout: Layout, configuration: Configuration): void {
  for (const folder of [layout.data, join(layout.root, 'shared', 'env'), layout.logs]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  writeServiceEnvironment(layout, configuration);
}

/** As before the first deploy, but for what is unpacked. */
async function remove(layout: Layout): Promise<void> {
  await deleteService(layout);
  rmSync(layout.current, { force: true });
}

function appendJournal(layout: Layout, deploy: string, lines: readonly string[]): void {
  mkdirSync(layout.journal, { recursive: true });
  appendFileSync(join(layout.journal, `${deploy}.jsonl`), lines.map((line) => `${line}\n`).join(''), {
    flush: true,
  });
}

async function answer({ root, verb, claim, args }: Request, body: Readable): Promise<unknown> {
  const layout = layoutOf(root);
  const open = OPEN[verb];
  if (open !== undefined) return open(layout, args as never, body);
  if (claim === undefined) throw new HostError('refused', `${verb} needs a lease.`);
  if (verb === 'renew') return renewLease(layout, claim);
  if (verb === 'release') return releaseLease(layout, claim);
  const leased = LEASED[verb];
  if (leased !== undefined) {
    underLease(layout, claim, () => undefined);
    return leased(layout, args as never, body);
  }
  const locked = LOCKED[verb];
  if (locked === undefined) throw new HostError('refused', `This host does not know how to ${verb}.`);
  return underLeaseFor(layout, claim, async () => locked(layout, args as never, body));
}

/** The first line of a stream, and what comes behind it. */
function readRequest(input: Readable): Promise<{ request: Request; body: Readable }> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\n');
      if (end === -1) return;
      input.off('data', onData);
      const body = new PassThrough();
      body.write(head.subarray(end + 1));
      input.pipe(body);
      try {
        resolve({ request: JSON.parse(head.subarray(0, end).toString('utf8')) as Request, body });
      } catch (error) {
        reject(error);
      }
    };
    input.on('data', onData);
    input.once('error', reject);
    input.once('end', () => reject(new Error('There was no request.')));
  });
}

function describe(error: unknown): Pick<HostError, 'code' | 'message' | 'evidence'> {
  if (error instanceof HostError)
    return { code: error.code, message: error.message, evidence: error.evidence };
  const { message, stack = '' } = error as Error;
  return { code: 'internal', message, evidence: stack.split('\n').slice(0, 6) };
}

// Files of the host are for its own user.
process.umask(0o027);
let last: unknown;
try {
  const { request, body } = await readRequest(process.stdin);
  last = { ok: (await answer(request, body)) ?? null };
} catch (error) {
  last = { error: describe(error) };
}
process.stdout.write(`${JSON.stringify(last)}\n`, () => process.exit(0));
