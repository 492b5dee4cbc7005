/**
 * What is done to clicks once a day, at night in UTC: salts of days that are over are forgotten, clicks and quarters of an hour
 * that are old enough go. One process does it, who holds the lease; the others find it done. Each recounts its own clicks. What is
 * old is decided by the time of the database: a host whose clock is months ahead would remove what is still wanted, for all.
 */

import type { Clock } from '../kernel/clock.ts';
import { inPortions, type Pacer } from '../kernel/portions.ts';
import type { ClickTiers } from './click-tiers.ts';
import { DAY_MS } from './visitor.ts';

export interface Retention {
  /** Days that single clicks are kept; 0: for ever. */
  readonly clickDays: number;
  /** Days that quarters of an hour are kept apart; 0: for ever. */
  readonly quarterDays: number;
}

export interface NightDeps {
  readonly tiers: Pick<
    ClickTiers,
    | 'readNowMs'
    | 'takeLease'
    | 'readNight'
    | 'writeNight'
    | 'forgetSalts'
    | 'removeOldClicks'
    | 'rollUpQuarters'
    | 'endSegments'
    | 'purgeAgain'
  >;
  readonly clock: Clock;
  readonly pacer: Pacer;
  /** The name of this process among those that share the database. */
  readonly holder: string;
  readonly retention: Retention;
  readonly recount: (isOver: () => boolean) => Promise<void>;
}

export interface Night {
  /** Soon after midnight: who visited yesterday is nobody any more. */
  forgetVisitors(): Promise<void>;
  /** May be called at any hour: what was done today is not done again. */
  run(isOver: () => boolean): Promise<void>;
}

/** How long a process that was killed keeps others from its work. */
const LEASE_MS = 10 * 60 * 1000;
const RENEW_MS = 60 * 1000;
/** A process that lives says so every hour. */
const GONE_AFTER_MS = 2 * DAY_MS;

export function createNight({ tiers, clock, pacer, holder, retention, recount }: NightDeps): Night {
  let recountedDay = -1;
  const toDay = (ms: number): number => Math.floor(ms / DAY_MS);

  /** Whether the lease is ours: renewed now and then while it is asked, and given up once another process has it. */
  function createLeaseCheck(): () => Promise<boolean> {
    let isHeld = true;
    let askAgainAtMs = Number.NEGATIVE_INFINITY;
    return async () => {
      const nowMs = clock.nowMs();
      if (!isHeld || nowMs < askAgainAtMs) return isHeld;
      askAgainAtMs = nowMs + RENEW_MS;
      isHeld = await tiers.takeLease({ name: 'night', holder, nowMs, forMs: LEASE_MS });
      return isHeld;
    };
  }

  const readNowMs = (): Promise<number> => tiers.readNowMs(clock.nowMs());

  async function tidy(nowMs: number, isOver: () => boolean): Promise<void> {
    const today = toDay(nowMs);
    const isHeld = createLeaseCheck();
    if (!(await isHeld())) return;
    const whileHeld = (step: () => Promise<boolean>) =>
      inPortions(async () => (await isHeld()) && (await step()), { pacer, isOver });
    const { clickDays, quarterDays } = retention;
    await tiers.forgetSalts(today);
    if (clickDays > 0) await whileHeld(() => tiers.removeOldClicks((today - clickDays) * DAY_MS));
    if (quarterDays > 0) await whileHeld(() => tiers.rollUpQuarters(today - quarterDays));
    await tiers.endSegments(nowMs - GONE_AFTER_MS);
    if (isOver() || !(await isHeld())) return;
    await tiers.purgeAgain();
    await tiers.writeNight(today);
  }

  return {
    forgetVisitors: async () => tiers.forgetSalts(toDay(await readNowMs())),

    async run(isOver) {
      const nowMs = await readNowMs();
      const today = toDay(nowMs);
      if ((await tiers.readNight()) !== today) await tidy(nowMs, isOver);
      if (recountedDay === today || isOver()) return;
      await recount(isOver);
      recountedDay = today;
    },
  };
}
