// Clicks of purged links go, also those that come a little after the purge.
import t from 'tap';
import { AGAIN_AFTER_MS, createPurger } from '../../app/clicks/purger.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createIdlePacer } from '../support/pacer.ts';

const never = () => false;

/** A database in which the links 1 and 2 were purged by the change 7. */
function start() {
  const clock = createFakeClock();
  const did: string[] = [];
  let purgedTo = 0;
  const purge = createPurger({
    clock,
    pacer: createIdlePacer(clock),
    purgedLinks: { listPurged: async (after) => ({ linkIds: after < 7 ? [1, 2] : [], seq: 7 }) },
    folder: { foldAll: async () => void did.push('fold') },
    tiers: {
      readPurgedTo: async () => purgedTo,
      writePurgedTo: async (seq) => {
        purgedTo = seq;
      },
      purgeLink: async (linkId) => {
        did.push(`purge ${linkId}`);
        return false;
      },
    },
  });
  return { clock, purge, take: () => did.splice(0) };
}

const ALL = ['fold', 'purge 1', 'purge 2'];

t.test('a link is purged at once, and once more when every host knows of it', async (t) => {
  const { clock, purge, take } = start();
  await purge(never);
  t.same(take(), ALL);
  await clock.advance(AGAIN_AFTER_MS - 1);
  await purge(never);
  t.same(take(), []);
  await clock.advance(1);
  await purge(never);
  t.same(take(), ALL);
  await clock.advance(AGAIN_AFTER_MS);
  await purge(never);
  t.same(take(), []);
});

t.test('who is stopped in the middle of it goes on with it', async (t) => {
  const { clock, purge, take } = start();
  let isOver = false;
  const stopping = purge(() => isOver);
  isOver = true;
  await stopping;
  take();
  await purge(never);
  t.same(take(), ALL, 'it is not noted down as done');
  await clock.advance(AGAIN_AFTER_MS);
  await purge(() => true);
  take();
  await purge(never);
  t.same(take(), ALL);
});
