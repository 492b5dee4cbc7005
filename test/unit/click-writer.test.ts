import fc from 'fast-check';
import t from 'tap';
import type { Click } from '../../app/clicks/click.ts';
import type { ClickJournal, JournalEntry, Quota } from '../../app/clicks/click-journal.ts';
import { createClickWriter, type Fate, PENDING_MAX } from '../../app/clicks/click-writer.ts';
import { createLedger } from '../../app/clicks/ledger.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { propertyRuns } from '../support/property.ts';

const FULL = new Error('SQLITE_FULL');
const QUOTA: Quota = { linkId: 1, clicksMax: 1, setBySeq: 1, isOnlyAsked: false };

function clickOn(linkId: number, reason: Click['reason'] = 'human'): Click {
  return {
    linkId,
    atMs: 0,
    reason,
    visitor: null,
    agent: null,
    referrer: null,
    language: null,
    country: null,
  };
}

/** A writer on a journal that does what `answer` says. */
function start({ startFailure = null as unknown } = {}) {
  const clock = createFakeClock();
  const ledger = createLedger();
  const batches: (readonly JournalEntry[])[] = [];
  const log: string[] = [];
  const sizes: number[] = [];
  const waits: number[] = [];
  const journal = {
    answer: (_: readonly JournalEntry[]): ReturnType<ClickJournal['append']> => null,
    repair: async (): Promise<void> => undefined,
  };
  const writer = createClickWriter({
    clock,
    random: () => 0.5,
    journal: {
      append(entries) {
        const answer = journal.answer(entries);
        if (answer !== 'busy') batches.push([...entries]);
        return answer;
      },
      failure: () => startFailure,
      repair: () => journal.repair(),
    },
    ledger,
    onCommitted: (redirects) => sizes.push(redirects),
    onFailed: (error) => log.push(`failed: ${(error as Error).message}`),
    onRecovered: () => log.push('recovered'),
    onDropped: (clicks) => log.push(`dropped ${clicks}`),
    onWaited: (ms) => waits.push(ms),
  });
  const fates: Fate[] = [];
  const record = (click: Click | null, quota: Quota | null = null) =>
    writer.record({
      click,
      exclusion: click === null ? 'head' : null,
      quota,
      settle: (fate) => fates.push(fate),
    });
  const isBalanced = () => {
    const { served, counted, excluded, pending, dropped } = ledger.read();
    const sum = (values: Readonly<Record<string, number>>) =>
      Object.values(values).reduce((total, value) => total + value, 0);
    return served === sum(counted) + sum(excluded) + pending + dropped;
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { clock, ledger, writer, journal, batches, fates, log, waits, record, sizes, isBalanced, turn };
}

t.test('the clicks of a turn are stored together, and answered after it', async (t) => {
  const { record, batches, fates, sizes, ledger, turn } = start();
  record(clickOn(1));
  record(clickOn(2, 'bot'));
  record(clickOn(1, 'repeat'));
  t.same([batches.length, fates], [0, []], 'nothing is answered before it is stored');
  await turn();
  t.same(
    batches.map((batch) => batch.map(({ click }) => click?.linkId)),
    [[1, 2, 1]],
  );
  t.same(fates, ['redirect', 'redirect', 'redirect']);
  record(clickOn(3));
  await turn();
  t.same([batches.length, sizes], [2, [3, 1]]);
  t.same(ledger.read(), {
    served: 4,
    counted: { human: 2, bot: 1, preview: 0, prefetch: 0, repeat: 1 },
    excluded: { head: 0, own: 0 },
    pending: 0,
    dropped: 0,
    missing: 0,
  });
});

t.test('a turn with nothing to store asks nothing of the disk', async (t) => {
  const { record, batches, fates, ledger, turn } = start();
  record(null);
  await turn();
  t.same([batches.length, fates], [0, ['redirect']]);
  t.match(ledger.read(), { served: 1, excluded: { head: 1 } });
});

t.test('what the journal says of a quota is what becomes of the redirect', async (t) => {
  const { record, journal, fates, ledger, turn } = start();
  journal.answer = () => ['stored', 'spent', 'unknown', 'stored'];
  record(clickOn(1), QUOTA);
  record(clickOn(1), QUOTA);
  record(clickOn(2), QUOTA);
  record(clickOn(3));
  await turn();
  t.same(fates, ['redirect', 'spent', 'unknown', 'redirect']);
  t.match(ledger.read(), { served: 2, counted: { human: 2 } }, 'what was refused is not served');
});

t.test('busy is tried again about every millisecond, and what comes meanwhile goes along', async (t) => {
  const { record, journal, clock, batches, fates, log, waits, turn } = start();
  journal.answer = () => 'busy';
  record(clickOn(1));
  await turn();
  record(clickOn(2));
  await turn();
  for (let ms = 0; ms < 100; ms++) await clock.advance(1);
  t.same([batches.length, fates], [0, []]);
  journal.answer = () => null;
  await clock.advance(1);
  t.same(
    batches.map((batch) => batch.map(({ click }) => click?.linkId)),
    [[1, 2]],
  );
  t.same(fates, ['redirect', 'redirect']);
  t.same([log, waits], [[], [101]], 'and how long it took is told');
});

t.test('the patience with a busy file begins anew with each success', async (t) => {
  const { record, journal, clock, fates, log, turn } = start();
  for (let round = 0; round < 3; round++) {
    journal.answer = () => 'busy';
    record(clickOn(1));
    await turn();
    for (let ms = 0; ms < 200; ms++) await clock.advance(1);
    journal.answer = () => null;
    await clock.advance(1);
  }
  t.same([fates.length, log], [3, []]);
});

t.test('busy for 250 ms is failure: redirects go on, their clicks wait', async (t) => {
  const { record, journal, clock, writer, fates, log, ledger, isBalanced, turn } = start();
  journal.answer = () => 'busy';
  record(clickOn(1));
  await turn();
  for (let ms = 0; ms < 250; ms++) {
    t.same(fates, []);
    await clock.advance(1);
  }
  t.same(fates, ['redirect']);
  t.match(ledger.read(), { served: 1, pending: 1 });
  t.ok(writer.failure());
  t.match(log, [/^failed: Another process/]);
  journal.answer = () => null;
  await clock.advance(100);
  t.equal(writer.failure(), null);
  t.match(ledger.read(), { served: 1, pending: 0, counted: { human: 1 } });
  t.ok(isBalanced());
});

t.test('while the file fails clicks wait, a quota is refused, and all is caught up in order', async (t) => {
  const { record, journal, clock, batches, fates, log, ledger, isBalanced, turn } = start();
  journal.answer = () => {
    throw FULL;
  };
  record(clickOn(1));
  record(clickOn(2), QUOTA);
  record(null);
  await turn();
  t.same(fates, ['redirect', 'unavailable', 'redirect']);
  record(clickOn(3));
  await turn();
  t.same(fates.at(-1), 'redirect', 'later ones do not try the disk themselves');
  t.match(ledger.read(), { served: 3, pending: 2, excluded: { head: 1 } });
  t.ok(isBalanced());
  for (let tries = 0; tries < 5; tries++) await clock.advance(100);
  t.same(log, ['failed: SQLITE_FULL'], 'it is told once');

  journal.answer = () => null;
  await clock.advance(100);
  t.same(
    batches.map((batch) => batch.map(({ click }) => click?.linkId)),
    [[1, 3]],
  );
  t.same(log, ['failed: SQLITE_FULL', 'recovered']);
  t.match(ledger.read(), { served: 3, pending: 0, counted: { human: 2 } });
  record(clickOn(4), QUOTA);
  await turn();
  t.equal(fates.at(-1), 'redirect', 'and a quota is asked again');
});

t.test('a repair that fails is tried again', async (t) => {
  const { record, journal, clock, writer, log, turn } = start();
  journal.answer = () => {
    throw FULL;
  };
  record(clickOn(1));
  await turn();
  journal.answer = () => null;
  journal.repair = async () => {
    throw new Error('no such folder');
  };
  await clock.advance(100);
  t.match(writer.failure(), { message: 'no such folder' });
  journal.repair = async () => undefined;
  await clock.advance(100);
  t.equal(writer.failure(), null);
  t.same(log, ['failed: SQLITE_FULL', 'recovered']);
});

t.test('what waits is bounded, and what is beyond is dropped and counted', async (t) => {
  const { record, journal, clock, batches, fates, ledger, isBalanced, turn, writer } = start();
  journal.answer = () => {
    throw FULL;
  };
  for (let n = 0; n < PENDING_MAX + 5; n++) record(clickOn(n));
  await turn();
  t.equal(fates.length, PENDING_MAX + 5, 'nobody is refused');
  t.match(ledger.read(), { served: PENDING_MAX + 5, pending: PENDING_MAX, dropped: 5 });
  journal.answer = () => null;
  await clock.advance(100);
  while (writer.failure() !== null) await turn();
  t.ok(
    batches.every((batch) => batch.length <= 1000),
    'in portions that leave redirects their turns',
  );
  t.match(ledger.read(), { pending: 0, dropped: 5, counted: { human: PENDING_MAX } });
  t.ok(isBalanced());
});

t.test(
  'a turn of more than a transaction may have is stored in portions, each answered at once',
  async (t) => {
    const { record, batches, fates, ledger, isBalanced, turn } = start();
    for (let n = 0; n < 2500; n++) record(clickOn(n));
    await turn();
    t.same([batches.length, fates.length], [1, 1000]);
    record(clickOn(2500));
    await turn();
    await turn();
    t.same(
      batches.map((batch) => batch.length),
      [1000, 1000, 501],
    );
    t.same(
      batches.flat().map(({ click }) => click?.linkId),
      Array.from({ length: 2501 }, (_, n) => n),
      'in their order',
    );
    t.equal(fates.length, 2501);
    t.match(ledger.read(), { served: 2501, counted: { human: 2501 } });
    t.ok(isBalanced());
  },
);

t.test('closing stores what waits', async (t) => {
  const { record, journal, clock, writer, ledger, log, turn } = start();
  journal.answer = () => {
    throw FULL;
  };
  record(clickOn(1));
  await turn();
  const closing = writer.close(1000);
  await clock.advance(100);
  journal.answer = () => null;
  await clock.advance(100);
  await closing;
  t.match(ledger.read(), { pending: 0, counted: { human: 1 } });
  t.same(log, ['failed: SQLITE_FULL', 'recovered']);
});

t.test('closing waits for a turn that another process holds up', async (t) => {
  const { record, journal, clock, writer, fates } = start();
  journal.answer = () => 'busy';
  record(clickOn(1));
  let isClosed = false;
  const closing = writer.close(1000).then(() => {
    isClosed = true;
  });
  for (let ms = 0; ms < 10; ms++) await clock.advance(1);
  t.same([isClosed, fates], [false, []]);
  journal.answer = () => null;
  for (let ms = 0; ms < 3; ms++) await clock.advance(1);
  await closing;
  t.same(fates, ['redirect']);
});

t.test('at the deadline of closing the rest is given up, and said', async (t) => {
  const { record, journal, clock, writer, ledger, log, isBalanced, turn } = start();
  journal.answer = () => {
    throw FULL;
  };
  record(clickOn(1));
  record(clickOn(2));
  await turn();
  let isClosed = false;
  const closing = writer.close(1000).then(() => {
    isClosed = true;
  });
  for (let tries = 0; tries < 9; tries++) await clock.advance(100);
  t.notOk(isClosed);
  for (let tries = 0; tries < 4; tries++) await clock.advance(100);
  await closing;
  t.same(log, ['failed: SQLITE_FULL', 'dropped 2']);
  t.match(ledger.read(), { served: 2, pending: 0, dropped: 2 });
  t.ok(isBalanced());
});

t.test('a clock that is set makes nobody wait for longer, or for less', async (t) => {
  const { record, journal, clock, fates, log, turn } = start();
  journal.answer = () => 'busy';
  record(clickOn(1));
  await turn();
  await clock.advance(1);
  clock.moveWall(-3_600_000);
  await clock.advance(1);
  clock.moveWall(7_200_000);
  for (let ms = 0; ms < 247; ms++) await clock.advance(1);
  t.same([fates, log.length], [[], 0]);
  await clock.advance(1);
  t.same([fates, log.length], [['redirect'], 1]);
});

t.test('a file that the start could not open is repaired without waiting for a click', async (t) => {
  const { record, journal, clock, writer, fates, log, ledger, turn } = start({ startFailure: FULL });
  t.equal(writer.failure(), FULL);
  journal.repair = async () => {
    throw FULL;
  };
  record(clickOn(1));
  await turn();
  t.same(fates, ['redirect']);
  await clock.advance(100);
  t.match(ledger.read(), { served: 1, pending: 1 });
  journal.repair = async () => undefined;
  await clock.advance(100);
  t.equal(writer.failure(), null);
  t.match(ledger.read(), { served: 1, pending: 0, counted: { human: 1 } });
  t.same(log, ['failed: SQLITE_FULL', 'recovered']);
});

t.test('what waits stays waiting while another process writes', async (t) => {
  const { record, journal, clock, writer, ledger, turn } = start();
  journal.answer = () => {
    throw FULL;
  };
  record(clickOn(1));
  await turn();
  journal.answer = () => 'busy';
  await clock.advance(100);
  t.match(ledger.read(), { pending: 1 });
  t.equal(writer.failure(), FULL);
  journal.answer = () => null;
  await clock.advance(100);
  t.match(ledger.read(), { pending: 0, counted: { human: 1 } });
});

type Weather = 'fine' | 'busy' | 'full' | 'beyond repair';

/** A journal in such weather: quotas are spent. */
function journalIn(weather: Weather) {
  return {
    answer(entries: readonly JournalEntry[]): ReturnType<ClickJournal['append']> {
      if (weather === 'busy') return 'busy';
      if (weather !== 'fine') throw FULL;
      return entries.map(({ quota }) => (quota === null ? 'stored' : 'spent'));
    },
    async repair(): Promise<void> {
      if (weather === 'beyond repair') throw FULL;
    },
  };
}

const STEP = fc.record({
  weather: fc.constantFrom<Weather>('fine', 'busy', 'full', 'beyond repair'),
  clicks: fc.nat(4),
  heads: fc.nat(2),
  quotas: fc.nat(2),
  ms: fc.nat(300),
});

t.test(
  'whatever the file does, a redirect has one fate, a click one place, and the ledger balances',
  async (t) => {
    const repeat = (times: number, action: () => void) => {
      for (let n = 0; n < times; n++) action();
    };
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 30 }), async (steps) => {
        const { record, journal, clock, writer, fates, ledger, isBalanced, turn, batches } = start();
        let asked = 0;
        let wasBalanced = true;
        for (const { weather, clicks, heads, quotas, ms } of steps) {
          Object.assign(journal, journalIn(weather));
          repeat(clicks, () => record(clickOn(++asked)));
          repeat(heads, () => record(null));
          repeat(quotas, () => record(clickOn(0), QUOTA));
          asked += heads + quotas;
          await turn();
          await clock.advance(ms);
          wasBalanced &&= isBalanced();
        }
        Object.assign(journal, journalIn('fine'));
        const closing = writer.close(1000);
        for (let ms = 0; ms < 1000; ms += 50) await clock.advance(50);
        await closing;
        const stored = batches.flat().filter(({ click, quota }) => click !== null && quota === null);
        const distinct = new Set(stored.map(({ click }) => click));
        const { counted, pending, dropped } = ledger.read();
        t.same([fates.length, wasBalanced && isBalanced(), pending, dropped], [asked, true, 0, 0]);
        t.same([stored.length, distinct.size], [counted.human, counted.human], 'once each');
      }),
      propertyRuns(t, { runs: 300, proveRuns: 20_000 }),
    );
  },
);
