/** The contract of DrainStore: what a host remembers of being drained. */

import type { Test } from 'tap';
import { DAY_MS, type OpenStore, T0 } from './store.ts';

export function testDrainStore(t: Test, name: string, openStore: OpenStore): Promise<unknown> {
  return t.test(`${name}: drain`, async (t) => {
    await t.test('begins without a drain, and the last word counts', async (t) => {
      const { drain } = await openStore(t);
      t.equal(await drain.readDrainUntilMs(), null);
      await drain.writeDrainUntilMs(null);
      t.equal(await drain.readDrainUntilMs(), null);
      await drain.writeDrainUntilMs(T0);
      await drain.writeDrainUntilMs(T0 + DAY_MS);
      t.equal(await drain.readDrainUntilMs(), T0 + DAY_MS);
      await drain.writeDrainUntilMs(null);
      t.equal(await drain.readDrainUntilMs(), null);
    });

    await t.test('is seen by another opening at once, and outlives them all', async (t) => {
      const first = await openStore(t);
      const second = await first.openAgain();
      await first.drain.writeDrainUntilMs(T0);
      t.equal(await second.drain.readDrainUntilMs(), T0);
      await first.close();
      await second.close();
      t.equal(await (await first.openAgain()).drain.readDrainUntilMs(), T0);
    });
  });
}
