/** `clicks` of links, for whoever shows them. Links are shown also while their clicks cannot be read. */

import type { ClickTiers } from './click-tiers.ts';
import type { Folder } from './folder.ts';

export interface ClickCounts {
  /** Clicks of people, as far as they are counted; null: they cannot be read now. */
  countHumans(linkIds: readonly number[]): Promise<(linkId: number) => number | null>;
  /** Counts what was clicked before; without effect while that cannot be done. */
  catchUp(): Promise<void>;
}

export interface ClickCountsDeps {
  readonly tiers: Pick<ClickTiers, 'countHumans'>;
  readonly folder: Pick<Folder, 'catchUp'>;
  /** Told once for as many failures as come in a row. */
  readonly onFailed: (error: unknown) => void;
}

export function createClickCounts({ tiers, folder, onFailed }: ClickCountsDeps): ClickCounts {
  let isFailing = false;

  function tell(error: unknown): void {
    if (!isFailing) onFailed(error);
    isFailing = true;
  }

  return {
    async countHumans(linkIds) {
      try {
        const counts = await tiers.countHumans(linkIds);
        isFailing = false;
        return (linkId) => counts.get(linkId) ?? 0;
      } catch (error) {
        tell(error);
        return () => null;
      }
    },

    async catchUp() {
      // What is counted already is still worth showing.
      await folder.catchUp().catch(tell);
    },
  };
}
