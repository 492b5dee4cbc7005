/** `clicks` of links, for whoever shows them. Links are shown also while their clicks cannot be read. */

import type { ClickTiers, LinkUse } from './click-tiers.ts';
import type { Folder } from './folder.ts';

export interface ClickCounts {
  /** Null: it cannot be read now. */
  readUse(linkIds: readonly number[]): Promise<(linkId: number) => LinkUse | null>;
  /** Counts what was clicked before; without effect while that cannot be done. */
  catchUp(): Promise<void>;
}

export interface ClickCountsDeps {
  readonly tiers: Pick<ClickTiers, 'readUse'>;
  readonly folder: Pick<Folder, 'catchUp'>;
  /** Told once for as many failures as come in a row. */
  readonly onFailed: (error: unknown) => void;
}

const NONE: LinkUse = { clicks: 0, ofMax: 0 };

export function createClickCounts({ tiers, folder, onFailed }: ClickCountsDeps): ClickCounts {
  let isFailing = false;

  function tell(error: unknown): void {
    if (!isFailing) onFailed(error);
    isFailing = true;
  }

  return {
    async readUse(linkIds) {
      try {
        const uses = await tiers.readUse(linkIds);
        isFailing = false;
        return (linkId) => uses.get(linkId) ?? NONE;
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
