/**
 * What a host does for a deploy. It comes with the deploy and runs on the Node of the host, with nothing but Node's own modules and PM2.
 *
 *   {"root": "/opt/fleetlink", "verb": "switch", "claim": {…}, "args": {…}} ─▶ {"ok": …} | {"error": {"code", "message", "evidence"}}
 *
 * `serve`: lines of such requests on standard input, each with an `id` that its answer has too. Else one request, and behind its line what
 * belongs to it.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { drain, endDrain } from './drain.ts';
import {
  type Configuration,
  type Environment,
  readManagementPort,
  readServiceEnvironment,
  restoreServiceEnvironment,
  writeServiceEnvironment,
} from './environment.ts';
import { writeAtomically } from './files.ts';
import { HostError } from './host-error.ts';
import { inspect } from './inspect.ts';
import { type Layout, layoutOf } from './layout.ts';
import {
  acquireLease,
  type Claim,
  type Lease,
  releaseLease,
  renewLease,
  requireLease,
  underLease,
} from './lease.ts';
import { measure, readFigures, type ToMeasure } from './measure.ts';
import { deleteService, endPm2 } from './pm2.ts';
import { listTakenPorts } from './ports.ts';
import { readReadyz } from './probe.ts';
import { assembleRelease, type IncomingLayer, prune, type ReleaseParts, receiveLayer } from './receive.ts';
import { migrate, rehearse, type ToRehearse } from './shadow.ts';
import { smoke } from './smoke.ts';
import { noteBad, noteCommitted, noteWithdrawn } from './state.ts';
import { type ProofOptions, prove, type Switch, switchTo } from './switch.ts';
import { type LogQuestion, readLogs } from './tail.ts';

interface Request {
  readonly root: string;
  readonly verb: string;
  readonly claim?: Claim;
  readonly args?: unknown;
}

type Verb = (layout: Layout, args: never, body: Readable, claim: Claim) => unknown;
/** For which no lease is needed. */
type OpenVerb = (layout: Layout, args: never) => unknown;

/** May be asked by anybody, at any time. */
const OPEN: Readonly<Record<string, OpenVerb>> = {
  inspect: (layout) => inspect(layout),
  readyz: (layout) => readReadyz(readManagementPort(layout)),
  ports: (layout, asked: { variables: Environment }) => listTakenPorts(layout, asked),
  environment: (layout) => readServiceEnvironment(layout),
  figures: (layout) => readFigures(layout),
  logs: (layout, asked: LogQuestion) => readLogs(layout, asked),
  acquire: (layout, asked: Pick<Lease, 'deploy' | 'holder' | 'doing'>) => acquireLease(layout, asked),
};

/** Change nothing that the service sees; the lease is looked at before. */
const LEASED: Readonly<Record<string, Verb>> = {
  receive: (layout, layer: IncomingLayer, body) => receiveLayer(layout, layer, body),
  assemble: (layout, parts: ReleaseParts) => assembleRelease(layout, parts),
  rehearse: (layout, asked: ToRehearse) => rehearse(layout, asked),
  smoke: (layout) => smoke(layout),
  measure: (layout, asked: ToMeasure) => measure(layout, asked),
  journal: (layout, journal: { deploy: string; text: string }) => keepJournal(layout, journal),
};

/** Change what runs, or what is known of it: under the lock of the host. */
const LOCKED: Readonly<Record<string, Verb>> = {
  configure: (layout, configuration: Configuration) => configure(layout, configuration),
  restore: (layout, { deploy }: { deploy: string }) => restoreServiceEnvironment(layout, deploy),
  migrate: (layout, { release }: { release: string }) =>
    migrate(layout, release, { ...readServiceEnvironment(layout), MIGRATE: 'auto' }),
  drain: (layout, asked: { withinMs: number }) => drain(layout, asked),
  undrain: (layout, asked: { reasonsBefore: string[] }) => endDrain(layout, asked),
  switch: (layout, asked: Switch, _body, { epoch }) => switchTo(layout, { ...asked, epoch }),
  // It ends processes that PM2 forgot.
  prove: (layout, asked: ProofOptions) => prove(layout, asked),
  remove: (layout) => remove(layout),
  stop: (layout, how: { isLasting: boolean }) => endPm2(layout, how),
  commit: (layout, committed: { release: string; deploy: string }) =>
    noteCommitted(layout, { ...committed, atMs: Date.now() }),
  withdraw: (layout, asked: { deploy: string; to: string | null }) => noteWithdrawn(layout, asked),
  bad: (layout, { release, reason }: { release: string; reason: string }) => noteBad(layout, release, reason),
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

function keepJournal(layout: Layout, { deploy, text }: { deploy: string; text: string }): void {
  mkdirSync(layout.journal, { recursive: true });
  writeAtomically(join(layout.journal, `${deploy}.jsonl`), text);
}

async function answer({ root, verb, claim, args }: Request, body: Readable): Promise<unknown> {
  const layout = layoutOf(root);
  limitEnvironment(layout);
  const open = OPEN[verb];
  if (open !== undefined) return open(layout, args as never);
  if (claim === undefined) throw new HostError('refused', `${verb} needs a lease.`);
  if (verb === 'renew') return renewLease(layout, claim);
  if (verb === 'release') return releaseLease(layout, claim);
  const leased = LEASED[verb];
  if (leased !== undefined) {
    requireLease(layout, claim);
    return leased(layout, args as never, body, claim);
  }
  const locked = LOCKED[verb];
  if (locked === undefined) throw new HostError('refused', `This host does not know how to ${verb}.`);
  return underLease(layout, claim, async () => locked(layout, args as never, body, claim));
}

/** What PM2 is given it hands to the service and keeps: so there is nothing in it that is not meant for that. */
function limitEnvironment({ root, node, pm2Home }: Layout): void {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, {
    PATH: `${dirname(node)}:/usr/local/bin:/usr/bin:/bin`,
    HOME: root,
    PM2_HOME: pm2Home,
    FLEETLINK_ROOT: root,
  });
}

/** Answers each line that comes, several at a time, until no more can come. */
async function serve(input: Readable): Promise<void> {
  const atWork = new Set<Promise<void>>();
  for await (const line of createInterface({ input })) {
    const { id, ...request } = JSON.parse(line) as Request & { readonly id: number };
    const work = reply(request, Readable.from([])).then((result) => {
      process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);
      atWork.delete(work);
    });
    atWork.add(work);
  }
  await Promise.all(atWork);
}

/** One request, and what belongs to it. */
async function answerOnce(input: Readable): Promise<void> {
  const { request, body } = await readRequest(input);
  process.stdout.write(`${JSON.stringify(await reply(request, body))}\n`);
}

async function reply(request: Request, body: Readable): Promise<object> {
  try {
    return { ok: (await answer(request, body)) ?? null };
  } catch (error) {
    return { error: describe(error) };
  }
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
// Who started it may be gone; what was begun is ended all the same.
process.stdout.on('error', () => undefined);
await (process.argv[2] === 'serve' ? serve(process.stdin) : answerOnce(process.stdin));
process.stdout.write('', () => process.exit(0));
