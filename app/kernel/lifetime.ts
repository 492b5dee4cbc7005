/**
 * The life of a process after it listens. Stop and drain are different things:
 *
 *   running ──SIGINT──────────────────────────▶ stopping ──▶ exit 0
 *      └─────SIGTERM──▶ draining ──drainMs──────▶ │  │
 *                          └──SIGINT──────────────┘  └─ signal, a second or more later ─▶ exit 130
 *
 * SIGINT is Ctrl-C and the one signal that PM2 sends a worker. A terminal's Ctrl-C reaches the process twice, once more
 * through npm, which is why only a later repetition counts as impatience.
 */

import type { Clock } from './clock.ts';

export type StopSignal = 'SIGINT' | 'SIGTERM';

export interface LifetimeDeps {
  readonly clock: Clock;
  readonly drainMs: number;
  /** Finishes what is under way. */
  readonly stop: () => Promise<void>;
  readonly exit: (code: number) => void;
  readonly onPhase: (phase: 'draining' | 'stopping') => void;
  readonly onStopFailed: (error: unknown) => void;
}

export interface Lifetime {
  /** Readiness goes off while it drains; a stop leaves it as it is. */
  isDraining(): boolean;
  isStopping(): boolean;
  onSignal(signal: StopSignal): void;
}

const IMPATIENCE_AFTER_MS = 1000;
const EXIT_IMPATIENT = 130;

export function createLifetime({
  clock,
  drainMs,
  stop,
  exit,
  onPhase,
  onStopFailed,
}: LifetimeDeps): Lifetime {
  let phase: 'running' | 'draining' | 'stopping' = 'running';
  let stoppingSinceMs = 0;

  async function drainThenStop(): Promise<void> {
    phase = 'draining';
    onPhase(phase);
    await clock.sleep(drainMs);
    await stopNow();
  }

  async function stopNow(): Promise<void> {
    if (phase === 'stopping') return;
    phase = 'stopping';
    stoppingSinceMs = clock.monotonicMs();
    onPhase(phase);
    try {
      await stop();
      exit(0);
    } catch (error) {
      onStopFailed(error);
      exit(1);
    }
  }

  return {
    isDraining: () => phase === 'draining',
    isStopping: () => phase === 'stopping',
    onSignal(signal) {
      if (phase === 'stopping') {
        if (clock.monotonicMs() - stoppingSinceMs >= IMPATIENCE_AFTER_MS) exit(EXIT_IMPATIENT);
        return;
      }
      if (signal === 'SIGINT') void stopNow();
      else if (phase === 'running') void drainThenStop();
    },
  };
}
