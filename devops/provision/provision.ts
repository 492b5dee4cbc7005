/** Makes hosts ready for deploys: what root does there (tasks.ts), then the base, whose change takes one drained host at a time. */

import { randomBytes } from 'node:crypto';
import type { Drained } from '../host/drain.ts';
import type { HostFacts } from '../host/inspect.ts';
import type { Switched } from '../host/switch.ts';
import type { Base } from '../release/base.ts';
import type { HostClient } from '../remote/host-client.ts';
import { quote } from '../remote/quote.ts';
import { isServing } from '../roll/serving.ts';
import type { Transport } from '../transport/transport.ts';
import type { HostTask } from './tasks.ts';

export type TaskResult = 'ok' | 'changed' | 'failed';

export interface TaskReport {
  readonly host: string;
  readonly task: string;
  readonly result: TaskResult;
  /** Why it failed, or what it did. */
  readonly detail: string;
}

export interface ProvisionOptions {
  readonly root: string;
  /** As root, and as the user of the service. */
  readonly admins: ReadonlyMap<string, Transport>;
  /** Of all hosts of the environment, also of those that are left as they are. */
  readonly clients: ReadonlyMap<string, HostClient>;
  /** So many others are ready while the base of one is changed. */
  readonly floor: number;
  readonly tasks: readonly HostTask[];
  readonly base: Base;
  readonly holder: string;
  readonly drainMs: number;
  /** What the balancer in front needs to hear of a change. */
  readonly balancerMs: number;
  /** Nothing is changed, and what would be is told. */
  readonly isCheck: boolean;
  readonly onReport: (report: TaskReport) => void;
}

const TASK_MS = 300_000;

/** Resolves with all that was told. A host on which a task fails gets no further one. */
export async function provision(options: ProvisionOptions): Promise<TaskReport[]> {
  const reports: TaskReport[] = [];
  const tell = (report: TaskReport): boolean => {
    reports.push(report);
    options.onReport(report);
    return report.result !== 'failed';
  };
  const ready: string[] = [];
  await Promise.all(
    [...options.admins].map(async ([host, admin]) => {
      for (const task of options.tasks) {
        if (!tell({ host, task: task.name, ...(await runTask(admin, task, options.isCheck)) })) return;
      }
      ready.push(host);
    }),
  );
  // In the order of the file, one after the other: the others serve.
  for (const host of options.clients.keys()) {
    if (!ready.includes(host)) continue;
    if (options.isCheck && cannotBeAsked(reports, host)) {
      tell({ host, task: 'base', result: 'changed', detail: `nothing → ${options.base.id}` });
      continue;
    }
    if (!tell({ host, task: 'base', ...(await tried(() => setBase(options, host))) })) break;
  }
  return reports;
}

/** Whoever would ask it is only made there. */
function cannotBeAsked(reports: readonly TaskReport[], name: string): boolean {
  return reports.some(
    ({ host, task, result }) => host === name && result === 'changed' && ['user', 'key'].includes(task),
  );
}

type Done = Pick<TaskReport, 'result' | 'detail'>;

async function tried(work: () => Promise<Done>): Promise<Done> {
  try {
    return await work();
  } catch (error) {
    return { result: 'failed', detail: (error as Error).message };
  }
}

function runTask(admin: Transport, { script }: HostTask, isCheck: boolean): Promise<Done> {
  return tried(async () => {
    // Whoever is not root becomes it, without being asked for a password.
    const become = `if [ "$(id -u)" = 0 ]; then exec sh -s; else exec sudo -n sh -s; fi`;
    const text = `CHECK=${isCheck ? 1 : 0}\n${script}\n`;
    const { code, stdout, stderr } = await admin.run(['sh', '-c', become], {
      input: [text],
      timeoutMs: TASK_MS,
    });
    const said = stdout.trimEnd().split('\n').at(-1);
    if (code === 0 && (said === 'ok' || said === 'changed')) return { result: said, detail: '' };
    const why = stderr.trim().split('\n').at(-1) ?? '';
    return { result: 'failed', detail: why === '' ? `it ended with ${code}` : why };
  });
}

async function setBase(options: ProvisionOptions, host: string): Promise<Done> {
  const { root, clients, base, isCheck } = options;
  const client = clients.get(host) as HostClient;
  const link = `${root}/base/current`;
  const note = `${root}/base/${EXCHANGE}`;
  // One that does not run is none.
  const now = (
    await client.run(`! ${quote(`${link}/bin/node`)} -e 0 >/dev/null 2>&1 || readlink ${quote(link)}`)
  ).trim();
  // What an exchange that was ended has left: the base it came from.
  const begunFrom = (await client.run(`cat ${quote(note)} 2>/dev/null || true`)).trim();
  if (now === base.id && begunFrom === '') return { result: 'ok', detail: '' };
  const from = begunFrom === '' ? now : begunFrom;
  const detail = `${from === '' ? 'nothing' : from} → ${base.id}`;
  if (isCheck) return { result: 'changed', detail };
  await client.sendBase(base);
  if (now === '') {
    // Without a Node that runs nobody else is at work there.
    await client.run(linkTo(link, base.id));
    if (begunFrom === '') return { result: 'changed', detail };
  }
  await client.sendTool();
  const facts = await client.call<HostFacts>('inspect');
  const isServed = facts.current !== null && (facts.service !== null || begunFrom !== '');
  await underLease(options, client, async (deploy) => {
    const relink = async (id: string): Promise<void> => {
      // By the shell, since the Node that is there may not run: nobody else may have the host by now.
      const isOurs = `grep -qF ${quote(`"deploy":"${deploy}"`)} ${quote(`${root}/lease.json`)}`;
      const lost = 'echo This run does not hold the host any more. >&2; exit 1';
      await client.run(`${isOurs} || { ${lost}; }\n${linkTo(link, id)}`);
      client.begin();
    };
    if (!isServed || facts.current === null) return relink(base.id);
    const reasons = facts.readyz?.reasons ?? [];
    await exchange(options, { client, deploy, release: facts.current, reasons, from, note, relink });
  });
  return { result: 'changed', detail };
}

/** In the folder of bases, while one takes the place of another. */
const EXCHANGE = 'exchanged-from';

function linkTo(link: string, id: string): string {
  return `ln -sfn ${quote(id)} ${quote(`${link}.new`)} && mv -T ${quote(`${link}.new`)} ${quote(link)}`;
}

async function underLease(
  { base, holder }: ProvisionOptions,
  client: HostClient,
  work: (deploy: string) => Promise<void>,
): Promise<void> {
  const deploy = `provision-${randomBytes(4).toString('hex')}`;
  const asked = { deploy, holder, doing: `base ${base.id}` };
  const { epoch } = await client.call<{ epoch: number }>('acquire', asked);
  client.claim({ deploy, epoch });
  try {
    await work(deploy);
  } finally {
    // Where that fails it ends by itself within a minute.
    await client.call('release').catch(() => undefined);
    client.claim(null);
  }
}

interface Exchange {
  readonly client: HostClient;
  readonly deploy: string;
  readonly release: string;
  readonly reasons: readonly string[];
  /** The base that is left. */
  readonly from: string;
  /** A file that says so on the host, until the service is proven on either base. */
  readonly note: string;
  /** The program on the host runs on the Node that it starts PM2 with. */
  readonly relink: (base: string) => Promise<void>;
}

/** Under another Node, PM2 has to be ended and started: without others in its place people notice for some seconds. */
async function exchange(
  options: ProvisionOptions,
  { client, deploy, release, reasons, from, note, relink }: Exchange,
): Promise<void> {
  const { base, clients, drainMs, balancerMs } = options;
  const balancerKnows = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, balancerMs));
  const start = async (): Promise<void> => {
    const nonce = deploy;
    const { oldPid } = await client.call<Switched>('switch', { deploy, release, nonce, restartsKnown: null });
    await client.call('prove', { release, nonce, oldPid, reasonsBefore: reasons, stableMs: STABLE_MS });
    if (clients.size > 1) await client.call('undrain', { reasonsBefore: reasons });
    await client.run(`rm -f ${quote(note)}`);
  };
  if (clients.size > 1 && (await isServing(client))) {
    await requireFloor(options, client);
    await client.call<Drained>('drain', { withinMs: drainMs });
    // Nothing will listen there.
    await balancerKnows();
  }
  await client.run(`printf %s ${quote(from)} >${quote(note)}`);
  try {
    await client.call('stop', { isLasting: false });
    await relink(base.id);
    await start();
  } catch (caught) {
    const error = caught as Error;
    try {
      await relink(from);
      await client.call('stop', { isLasting: false });
      await start();
    } catch (worse) {
      const why = (worse as Error).message;
      throw new Error(
        `${error.message} It could not be brought back to ${from} either (${why}), and may serve nobody: run this again.`,
        { cause: error },
      );
    }
    throw new Error(`${error.message} It is back on ${from}.`, { cause: error });
  }
  if (clients.size > 1) await balancerKnows();
}

async function requireFloor({ clients, floor }: ProvisionOptions, client: HostClient): Promise<void> {
  const others = [...clients.values()].filter(({ name }) => name !== client.name);
  const ready = (await Promise.all(others.map(isServing))).filter(Boolean).length;
  if (ready >= floor) return;
  throw new Error(
    `Only ${ready} of the other hosts are ready, and deploy.floor wants ${floor}: it is not taken away.`,
  );
}

const STABLE_MS = 2000;
