/**
 * Spares a service that does not answer, and those who would wait for it: after some failures in a row nobody asks for a
 * while, then one does, and his answer decides for all.
 *
 *   closed ── failures in a row ──▶ open ── a while ──▶ half-open ── answered ──▶ closed
 *                                    ▲                       │
 *                                    └─────── failed ────────┘
 */

import type { Clock } from './clock.ts';

export const BREAKER_STATES = ['closed', 'open', 'half_open'] as const;
export type BreakerState = (typeof BREAKER_STATES)[number];

export interface Breaker {
  /** Whether somebody may ask now; then he tells with one of the others what became of it. */
  mayAsk(): boolean;
  succeeded(): void;
  /** Of a question of `askedAtMs`, on the monotonic clock: it says nothing of a service that has answered since. */
  failed(askedAtMs: number): void;
  /** Who wanted to ask at `askedAtMs`, on the monotonic clock, did not after all. */
  gaveUp(askedAtMs: number): void;
  state(): BreakerState;
}

export interface BreakerOptions {
  readonly clock: Clock;
  readonly failuresMax: number;
  readonly openMs: number;
}

export function createBreaker({ clock, failuresMax, openMs }: BreakerOptions): Breaker {
  let failures = 0;
  let askAgainAtMs = 0;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Somebody's answer is waited for. */
  let isAsked = false;
  let probedAtMs = Number.NEGATIVE_INFINITY;

  function state(): BreakerState {
    if (failures < failuresMax) return 'closed';
    return clock.monotonicMs() < askAgainAtMs ? 'open' : 'half_open';
  }

  return {
    state,
    mayAsk() {
      if (state() === 'closed') return true;
      if (state() === 'open' || isAsked) return false;
      isAsked = true;
      probedAtMs = clock.monotonicMs();
      return true;
    },
    succeeded() {
      failures = 0;
      isAsked = false;
      answeredAtMs = clock.monotonicMs();
    },
    gaveUp(askedAtMs) {
      // One of before is not who is waited for.
      if (askedAtMs >= probedAtMs) isAsked = false;
    },
    failed(askedAtMs) {
      if (askedAtMs < answeredAtMs) return;
      failures++;
      isAsked = false;
      askAgainAtMs = clock.monotonicMs() + openMs;
    },
  };
}
