/** Lets a release take over on this host, and proves that it did. */

import { existsSync, realpathSync } from 'node:fs';
import {
  readFailed,
  readManagementPort,
  restoreServiceEnvironment,
  writeDeployEnvironment,
} from './environment.ts';
import { linkAtomically } from './files.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import {
  endStrays,
  isRunning,
  type Replacement,
  readService,
  type ServiceProcess,
  startOrReload,
} from './pm2.ts';
import { poll, type Readyz, readReadyz } from './probe.ts';
import { readCurrent } from './state.ts';
import { readTail } from './tail.ts';

export interface Switch {
  readonly deploy: string;
  readonly release: string;
  readonly nonce: string;
  /** How often what runs now was started, when it took over; null: nobody knows. */
  readonly restartsKnown: number | null;
  /** Of the lease. */
  readonly epoch: number;
}

export interface Switched {
  readonly oldPid: number | null;
  readonly restarts: number | null;
}

export interface Proof {
  readonly release: string;
  readonly pid: number;
  readonly oldPid: number | null;
  /** From the reload to the first answer of the new process. */
  readonly readyMs: number;
  readonly restarts: number;
  readonly cwd: string;
}

export interface ProofOptions extends Pick<Switch, 'release' | 'nonce'> {
  /** What was amiss before is no reason to go back. */
  readonly reasonsBefore: readonly string[];
  readonly oldPid: number | null;
  /** For so long it may not start again. */
  readonly stableMs: number;
}

const READY_WITHIN_MS = 40_000;
const GONE_WITHIN_MS = 40_000;
/** Well before PM2 ends the old process whatever the new one does, which is after 30 s. */
const HOPELESS_AFTER_MS = 20_000;
/** One that starts this often in vain does not start. */
const RESTARTS_MAX = 3;

/**
 * Moves `current`, and lets PM2 start what it names. Where that does not start, `current` is moved back while the old process still
 * serves: what PM2 starts next is what ran before, and nobody notices. Throws HostError `pm2_failed`, `missing`, `unhealthy`.
 */
export async function switchTo(
  layout: Layout,
  { deploy, release, nonce, restartsKnown, epoch }: Switch,
): Promise<Switched> {
  if (!existsSync(layout.release(release)))
    throw new HostError('missing', `Release ${release} is not on this host.`);
  // Asked again by one whose connection broke: its variables are gone.
  const failed = readFailed(layout, deploy);
  if (failed?.release === release && failed.epoch === epoch)
    throw new HostError('unhealthy', `${release} did not take over here before.`, readTail(layout));
  const before = await readService(layout);
  const from = readCurrent(layout);
  pointTo(layout, { release, nonce });
  let failure: string | null = null;
  const isSteady = restartsKnown === null || before === null || before.restarts <= restartsKnown;
  const onLook = (replacement: Replacement): void => {
    if (from === null || failure !== null) return;
    failure = findFailure(replacement);
    if (failure === null) return;
    restoreServiceEnvironment(layout, deploy, { release, epoch });
    pointTo(layout, { release: from, nonce });
    const { now } = replacement;
    if (now.pid !== 0 && now.pid !== replacement.before.pid && isRunning(now.pid))
      process.kill(now.pid, 'SIGKILL');
  };
  await startOrReload(layout, { isSteady, onLook });
  if (failure !== null) {
    throw new HostError(
      'unhealthy',
      `${release} did not take over: ${failure}. ${from} serves on.`,
      readTail(layout),
    );
  }
  const after = await readService(layout);
  return {
    oldPid: before === null || before.pid === 0 ? null : before.pid,
    restarts: after?.restarts ?? null,
  };
}

function pointTo(layout: Layout, { release, nonce }: Pick<Switch, 'release' | 'nonce'>): void {
  writeDeployEnvironment(layout, { release, nonce });
  if (readCurrent(layout) !== release) linkAtomically(layout.current, `releases/${release}`);
}

/** Null: it may still become ready. A reload counts as one restart. */
function findFailure({ before, now, ms }: Replacement): string | null {
  if (now.restarts > before.restarts + 1) return 'its process ended before it was ready';
  if (now.pid !== before.pid && ms > HOPELESS_AFTER_MS)
    return `it was not ready within ${HOPELESS_AFTER_MS / 1000} s`;
  return null;
}

/** Throws HostError `unhealthy` with the last lines of the log. */
export async function prove(layout: Layout, asked: ProofOptions): Promise<Proof> {
  const startedAt = performance.now();
  let seen: { service: ServiceProcess | null; readyz: Readyz | null } = { service: null, readyz: null };
  const restartsBefore = (await readService(layout))?.restarts ?? 0;
  const found = await poll(
    async () => {
      const service = await readService(layout);
      const readyz = await readReadyz(readManagementPort(layout));
      seen = { service, readyz };
      if ((service?.restarts ?? 0) >= restartsBefore + RESTARTS_MAX) throw unproven(layout, asked, seen);
      return service !== null && readyz !== null && isProven(asked, service, readyz) ? service : null;
    },
    { withinMs: READY_WITHIN_MS },
  );
  if (found === null) throw unproven(layout, asked, seen);
  const readyMs = Math.round(performance.now() - startedAt);
  const cwd = readCwd(found.pid);
  if (cwd !== null && cwd !== realpathSync(layout.release(asked.release))) {
    throw new HostError(
      'unhealthy',
      `The process ${found.pid} runs in ${cwd}, which is not ${asked.release}.`,
    );
  }
  await requireGone(asked.oldPid, found.pid);
  await requireStable(layout, found, asked.stableMs);
  const { release, oldPid } = asked;
  return {
    release,
    pid: found.pid,
    oldPid,
    readyMs,
    restarts: found.restarts,
    cwd: cwd ?? layout.release(release),
  };
}

function isProven(asked: ProofOptions, service: ServiceProcess, readyz: Readyz): boolean {
  return (
    service.status === 'online' &&
    readyz.pid === service.pid &&
    readyz.pid !== asked.oldPid &&
    readyz.release === asked.release &&
    readyz.nonce === asked.nonce &&
    listNewReasons(asked, readyz).length === 0
  );
}

function listNewReasons({ reasonsBefore }: ProofOptions, { reasons }: Readyz): string[] {
  // Our own doing: it is drained while it is replaced.
  return reasons.filter((reason) => reason !== 'drain' && !reasonsBefore.includes(reason));
}

function unproven(
  layout: Layout,
  asked: ProofOptions,
  { service, readyz }: { service: ServiceProcess | null; readyz: Readyz | null },
): HostError {
  const process =
    service === null
      ? 'PM2 does not know it'
      : `PM2 says ${service.status}, pid ${service.pid}, ${service.restarts} restarts`;
  const answer = readyz === null ? 'nobody answers /readyz' : `/readyz says ${JSON.stringify(readyz)}`;
  return new HostError(
    'unhealthy',
    `${asked.release} did not take over: ${process}; ${answer}.`,
    readTail(layout),
  );
}

async function requireGone(oldPid: number | null, newPid: number): Promise<void> {
  if (oldPid === null || oldPid === newPid) return;
  const gone = await poll(async () => (isRunning(oldPid) ? null : true), { withinMs: GONE_WITHIN_MS });
  if (gone === null) throw new HostError('unhealthy', `The old process ${oldPid} is still there.`);
}

async function requireStable(layout: Layout, proven: ServiceProcess, stableMs: number): Promise<void> {
  // The one wait here that is for time to pass: nothing may happen in it.
  await new Promise((resolve) => setTimeout(resolve, stableMs));
  // An old process that ended at a bad time may have been started again meanwhile.
  await endStrays(layout);
  const now = await readService(layout);
  if (now?.pid !== proven.pid || now.restarts !== proven.restarts) {
    throw new HostError(
      'unhealthy',
      `The service started again within ${stableMs / 1000} s: pid ${proven.pid} is ${now?.pid ?? 'gone'}, restarts ${now?.restarts ?? 'unknown'}.`,
      readTail(layout),
    );
  }
}

/** Null: this system does not tell. */
function readCwd(pid: number): string | null {
  try {
    return realpathSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}
