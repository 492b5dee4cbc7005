/** Makes hosts ready for deploys: what root does there (tasks.ts), then the base, whose change takes one drained host at a time. */

import { randomBytes } from 'node:crypto';
import type { Drained } from '../host/drain.ts';
import type { HostFacts } from '../host/inspect.ts';
import type { Switched } from '../host/switch.ts';
import type { Base } from '../release/base.ts';
import type { HostClient } from '../remote/host-client.ts';
import { quote } from '../remote/quote.ts';
import { BALANCER_MS, isServing } from '../roll/serving.ts';
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
    if (!tell({ host, task: 'base', ...(await tried(() => setBase(options, host))) })) break;
  }
  return reports;
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
  const now = (await client.run(`readlink ${quote(link)} || true`)).trim();
  if (now === base.id) return { result: 'ok', detail: '' };
  const detail = `${now === '' ? 'nothing' : now} → ${base.id}`;
  if (isCheck) return { result: 'changed', detail };
  await client.sendBase(base);
  if (now === '') return { result: 'changed', detail };
  await client.sendTool();
  const facts = await client.call<HostFacts>('inspect');
  if (facts.service === null || facts.current === null) {
    await client.run(relink(link, base.id));
    return { result: 'changed', detail };
  }
  await exchange(options, {
    client,
    release: facts.current,
    reasons: facts.readyz?.reasons ?? [],
    from: now,
    link,
  });
  return { result: 'changed', detail };
}

function relink(link: string, id: string): string {
  return `ln -sfn ${quote(id)} ${quote(`${link}.new`)} && mv -T ${quote(`${link}.new`)} ${quote(link)}`;
}

interface Exchange {
  readonly client: HostClient;
  readonly release: string;
  readonly reasons: readonly string[];
  /** The base that is left. */
  readonly from: string;
  readonly link: string;
}

/** Under another Node, PM2 has to be ended and started: without others in its place people notice for some seconds. */
async function exchange(
  options: ProvisionOptions,
  { client, release, reasons, from, link }: Exchange,
): Promise<void> {
  const { base, holder, clients, drainMs } = options;
  const deploy = `provision-${randomBytes(4).toString('hex')}`;
  const { epoch } = await client.call<{ epoch: number }>('acquire', {
    deploy,
    holder,
    doing: `base ${base.id}`,
  });
  client.claim({ deploy, epoch });
  const start = async (): Promise<void> => {
    const nonce = deploy;
    const { oldPid } = await client.call<Switched>('switch', { deploy, release, nonce, restartsKnown: null });
    await client.call('prove', { release, nonce, oldPid, reasonsBefore: reasons, stableMs: STABLE_MS });
  };
  // The program on the host runs on the Node that it starts PM2 with.
  const move = async (id: string): Promise<void> => {
    await client.run(relink(link, id));
    client.begin();
  };
  try {
    if (clients.size > 1) {
      await requireFloor(options, client);
      await client.call<Drained>('drain', { withinMs: drainMs });
    }
    await client.call('stop');
    try {
      await move(base.id);
      await start();
    } catch (error) {
      await move(from);
      await client.call('stop');
      await start();
      throw new Error(`${(error as Error).message} It is back on ${from}.`, { cause: error });
    } finally {
      if (clients.size > 1) await client.call('undrain', { reasonsBefore: reasons });
    }
    await new Promise((resolve) => setTimeout(resolve, BALANCER_MS));
  } finally {
    await client.call('release').catch(() => undefined);
    client.claim(null);
  }
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
