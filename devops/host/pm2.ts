/**
 * PM2 of this host, by its own commands. What they print or return says nothing of health: a reload whose new process does not start
 * says ✓ and ends the old one (measured); so everything here is asked again afterwards.
 */

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { readText } from './files.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { poll } from './probe.ts';

export interface ServiceProcess {
  /** 0 while there is none. */
  readonly pid: number;
  readonly status: string;
  readonly restarts: number;
  /** When it was started, in milliseconds since 1970. */
  readonly startedAtMs: number;
}

const APP = 'fleetlink';
/** Longer than the slowest reload: 30 s until it is ready, 35 s until the old one is gone, and as much for each of what PM2 forgot. */
const ANSWER_MS = 240_000;
/** For a question: a daemon that does not answer is not waited for. */
const QUESTION_MS = 10_000;
/** Longer than a request may take. */
const STRAY_WITHIN_MS = 35_000;
const LOOK_EVERY_MS = 100;

/** Of PM2's own commands, those that are needed. */
interface Pm2 {
  connect(done: Done<void>): void;
  disconnect(): void;
  list(done: Done<readonly Listed[]>): void;
  start(file: string, done: Done<unknown>): void;
  restart(file: string, options: object, done: Done<unknown>): void;
  reload(file: string, options: object, done: Done<unknown>): void;
  delete(name: string, done: Done<unknown>): void;
  killDaemon(done: Done<unknown>): void;
  dump(isForced: boolean, done: Done<unknown>): void;
  readonly Client: { executeRemote(method: string, argument: unknown, done: Done<unknown>): void };
}

type Done<T> = (error: unknown, result: T) => void;

interface Listed {
  readonly name: string;
  /** Of one that is being replaced a text. */
  readonly pm_id: number | string;
  readonly pid: number;
  readonly pm2_env: { readonly status: string; readonly restart_time: number; readonly pm_uptime: number };
}

/** Null: PM2 does not know the service, or does not run. */
export async function readService(layout: Layout): Promise<ServiceProcess | null> {
  // To ask it would start it.
  return isDaemonRunning(layout) ? withPm2(layout, 'list', find, QUESTION_MS) : null;
}

function isDaemonRunning({ pm2Home }: Layout): boolean {
  const pid = Number(readText(join(pm2Home, 'pm2.pid')));
  return pid > 0 && isRunning(pid);
}

async function find(pm2: Pm2): Promise<ServiceProcess | null> {
  const apps = await told<readonly Listed[]>((done) => pm2.list(done));
  const app = apps.find(({ name, pm_id: id }) => name === APP && typeof id === 'number');
  if (app === undefined) return null;
  const { status, restart_time: restarts, pm_uptime: startedAtMs } = app.pm2_env;
  return { pid: app.pid, status, restarts, startedAtMs };
}

/**
 * Starts what is `current`, or lets it take over from what runs. Meanwhile `onLook` is told how the new process does: until it says that it is ready, or 30 s are over, the old one serves; and each time that it has to start, it starts what is `current` then.
 */
export function startOrReload(
  layout: Layout,
  { isSteady, onLook = () => undefined }: ReloadOptions,
): Promise<void> {
  const ecosystem = join(layout.current, 'ecosystem.config.cjs');
  return withPm2(layout, 'reload', async (pm2) => {
    await removeStrays(pm2, layout);
    if (!isSteady) await stop(pm2, layout);
    const running = await find(pm2);
    const startedAt = performance.now();
    const started = told((done) => {
      if (running === null) pm2.start(ecosystem, done);
      // One that waits between two starts is started at once.
      else if (running.status !== 'online') pm2.restart(ecosystem, { updateEnv: true }, done);
      else pm2.reload(ecosystem, { updateEnv: true }, done);
    });
    await lookUntil(started, async () => {
      const now = await find(pm2);
      if (now === null || running?.status !== 'online') return;
      onLook({ before: running, now, ms: performance.now() - startedAt });
    });
    await removeStrays(pm2, layout);
    await told((done) => pm2.dump(true, done));
  });
}

export interface ReloadOptions {
  /** False: it starts again and again. Then it is ended first, since PM2 loses track of a process that ends while it is replaced. */
  readonly isSteady: boolean;
  /** Told how the new process does, while one that served before still does. */
  readonly onLook?: (replacement: Replacement) => void;
}

export interface Replacement {
  readonly before: ServiceProcess;
  readonly now: ServiceProcess;
  /** Since it was begun. */
  readonly ms: number;
}

async function stop(pm2: Pm2, layout: Layout): Promise<void> {
  if ((await find(pm2)) === null) return;
  await told((done) => pm2.delete(APP, done));
  await removeStrays(pm2, layout);
}

/** Resolves with how many there were. */
export function endStrays(layout: Layout): Promise<number> {
  return withPm2(layout, 'delete', (pm2) => removeStrays(pm2, layout));
}

/**
 * Processes that PM2 forgot. One that ends by itself while PM2 replaces it is started again beside the new one: under a name that makes
 * PM2 refuse each further reload, without a word, or under none at all. It would serve on.
 */
async function removeStrays(pm2: Pm2, { pm2Home }: Layout): Promise<number> {
  const children = listChildren(readText(join(pm2Home, 'pm2.pid')));
  const apps = await told<readonly Listed[]>((done) => pm2.list(done));
  const misnamed = apps.filter(({ name, pm_id: id }) => name === APP && typeof id !== 'number');
  for (const { pm_id: id } of misnamed) {
    await told((done) => pm2.Client.executeRemote('deleteProcessId', id, done));
  }
  const unknown = children.filter((child) => !apps.some(({ pid }) => pid === child));
  await Promise.all(unknown.map(stopStray));
  return misnamed.length + unknown.length;
}

/** As PM2 would: what it is at work on it ends. */
async function stopStray(pid: number): Promise<void> {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    if (!isRunning(pid)) return;
    process.kill(pid, signal);
    await poll(async () => (isRunning(pid) ? null : true), { withinMs: STRAY_WITHIN_MS });
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: it is gone. It is ours, so nothing else can be said of it.
    return false;
  }
}

/** Nothing where this system does not tell. */
function listChildren(pid: string | null): number[] {
  const known = pid === null ? null : readText(`/proc/${pid.trim()}/task/${pid.trim()}/children`);
  return (known ?? '')
    .split(' ')
    .filter((text) => text !== '')
    .map(Number);
}

async function lookUntil(end: Promise<unknown>, look: () => Promise<void>): Promise<void> {
  let isOver = false;
  const over = end.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))]);
    if (!isOver) await look();
  }
  await over;
}

export function deleteService(layout: Layout): Promise<void> {
  return withPm2(layout, 'delete', async (pm2) => {
    await stop(pm2, layout);
    await told((done) => pm2.dump(true, done));
  });
}

/** The service, and PM2 itself. `isLasting`: it does not start with the machine either. */
export function endPm2(layout: Layout, { isLasting }: { readonly isLasting: boolean }): Promise<void> {
  return withPm2(layout, 'kill', async (pm2) => {
    await stop(pm2, layout);
    if (isLasting) await told((done) => pm2.dump(true, done));
    await told((done) => pm2.killDaemon(done));
  });
}

let last: Promise<unknown> = Promise.resolve();

/** One after the other: there is one connection, which is opened for each, since its daemon may be another one by then. */
function withPm2<T>(
  layout: Layout,
  what: string,
  work: (pm2: Pm2) => Promise<T>,
  withinMs = ANSWER_MS,
): Promise<T> {
  const turn = last.then(async () => {
    const pm2 = createRequire(layout.pm2)(layout.pm2) as Pm2;
    try {
      return await within(withinMs, async () => {
        await told<void>((done) => pm2.connect(done));
        return what === 'kill' ? work(pm2) : unlessDaemonEnds(layout, () => work(pm2));
      });
    } catch (error) {
      throw new HostError('pm2_failed', `pm2 ${what} failed: ${messageOf(error)}`);
    } finally {
      pm2.disconnect();
    }
  });
  last = turn.catch(() => undefined);
  return turn;
}

/** A daemon that ends in the middle of a question gives no answer, and the service went with it. */
async function unlessDaemonEnds<T>(layout: Layout, work: () => Promise<T>): Promise<T> {
  let watching: NodeJS.Timeout | undefined;
  const ended = new Promise<never>((_, reject) => {
    watching = setInterval(() => {
      if (!isDaemonRunning(layout)) reject(new Error('its daemon ended in the middle'));
    }, LOOK_EVERY_MS);
  });
  try {
    return await Promise.race([work(), ended]);
  } finally {
    clearInterval(watching);
  }
}

function told<T>(ask: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    ask((error, result) => (error ? reject(error) : resolve(result)));
  });
}

async function within<T>(ms: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it gave no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** PM2 gives errors, arrays of them, and texts. */
function messageOf(error: unknown): string {
  if (Array.isArray(error)) return error.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
