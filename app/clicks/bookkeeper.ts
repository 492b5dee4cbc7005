/**
 * What is done for the books of clicks beside the service: it says that this process lives, removes the clicks of purged
 * links, and recounts once a file may have been lost.
 */

import type { Clock } from '../kernel/clock.ts';
import type { ClickTiers } from './click-tiers.ts';
import type { LedgerFigures } from './ledger.ts';
import type { Purger } from './purger.ts';
import { createRecounter, type Recount } from './recount.ts';

export interface Bookkeeper {
  work(isOver: () => boolean): Promise<void>;
  recount(isOver: () => boolean): Promise<void>;
  /** The file that was written to may be another one now. */
  recountSoon(): void;
  /** Of the last recount; 0 before the first. */
  readDrift(): number;
}

export interface BookkeeperDeps {
  readonly tiers: Pick<ClickTiers, 'listSegments' | 'countRows' | 'compareTiers' | 'noteSeen'>;
  readonly clock: Clock;
  /** What this process stores: its segment, its last click there, and its clicks in segments before. */
  readonly readSegment: () => { readonly name: string; readonly sequence: number; readonly before: number };
  readonly readLedger: () => Pick<LedgerFigures, 'counted'>;
  readonly purge: Purger;
  readonly onRecounted: (recount: Recount) => void;
}

const SEEN_EVERY_MS = 60 * 60 * 1000;

export function createBookkeeper(deps: BookkeeperDeps): Bookkeeper {
  const { tiers, clock, readSegment, readLedger, purge, onRecounted } = deps;
  const recounter = createRecounter({
    tiers,
    readOwn() {
      const { name, sequence, before } = readSegment();
      const counted = Object.values(readLedger().counted).reduce((sum, clicks) => sum + clicks, -before);
      return { segment: name, sequence, counted };
    },
  });
  let isRecountDue = false;
  let seenAtMs = Number.NEGATIVE_INFINITY;
  let drift = 0;

  async function recount(isOver: () => boolean): Promise<void> {
    const counted = await recounter(isOver);
    if (counted === null) return;
    ({ drift } = counted);
    onRecounted(counted);
  }

  return {
    async work(isOver) {
      const nowMs = clock.nowMs();
      if (Math.abs(nowMs - seenAtMs) >= SEEN_EVERY_MS) {
        await tiers.noteSeen(readSegment().name, nowMs);
        seenAtMs = nowMs;
      }
      await purge(isOver);
      if (!isRecountDue) return;
      await recount(isOver);
      isRecountDue = false;
    },
    recount,
    recountSoon() {
      isRecountDue = true;
      // Another file does not know this process yet.
      seenAtMs = Number.NEGATIVE_INFINITY;
    },
    readDrift: () => drift,
  };
}
