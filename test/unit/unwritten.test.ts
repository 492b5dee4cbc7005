// What could not be written to a copy of links is known all the same, and written when there is room.
import t from 'tap';
import type { CopyPlace, CopyStep, KeyState, LinkCopy } from '../../app/fleet/link-copy.ts';
import { keepUnwritten } from '../../app/fleet/unwritten.ts';

const OF = { database: 1, begun: 1 };

function stateOf(key: string, asOf: number, url: string | null, of = OF): KeyState {
  const facts = {
    id: 1,
    status: 'enabled',
    redirectStatus: 302,
    expiresAtMs: null,
    maxClicks: null,
    maxClicksSeq: 0,
  } as const;
  return { key, asOf, of, facts: url === null ? null : { ...facts, url } };
}

function start({ keysMax = 10 } = {}) {
  const disk = { isFull: false, isNew: false };
  const states = new Map<string, KeyState>();
  const written: number[] = [];
  const steps: CopyStep[] = [];
  const told: unknown[] = [];
  let place: CopyPlace = { of: OF, run: 1, position: 5, newest: 5 };
  let meanwhile: () => Promise<void> = async () => undefined;
  const inner: LinkCopy = {
    lookup: (key) => states.get(key)?.facts ?? null,
    readPlace: async () => (disk.isNew ? null : place),
    readFilledTo: async () => null,
    async write(news, step) {
      if (disk.isFull) throw new Error('full');
      for (const state of news) states.set(state.key, state);
      written.push(news.length);
      if (step !== undefined) steps.push(step);
      if (step?.from === place.position) place = { ...place, position: step.to };
      const work = meanwhile;
      meanwhile = async () => undefined;
      await work();
    },
    async begin() {
      if (disk.isFull) throw new Error('full');
    },
    forgetUnconfirmed: async () => null,
  };
  const unwritten = keepUnwritten({ copy: inner, keysMax, onFailed: (error) => told.push(error) });
  const { copy, write, failure } = unwritten;
  return {
    disk,
    copy,
    write,
    failure,
    written,
    steps,
    told,
    urlOf: (key: string) => copy.lookup(key)?.url ?? null,
    storedUrlOf: (key: string) => states.get(key)?.facts?.url ?? null,
    positionOf: async () => (await copy.readPlace())?.position,
    during: (work: () => Promise<void>) => {
      meanwhile = work;
    },
    lead: (to: number) => {
      place = { ...place, position: to, of: { ...OF, begun: 2 } };
    },
  };
}

const stepTo = (from: number, to: number): CopyStep => ({ mark: 'position', of: OF, from, to });

t.test('with room everything is written at once', async (t) => {
  const { copy, write, failure, written, urlOf, positionOf } = start();
  await copy.write([stateOf('a', 6, 'https://example.com/1')], stepTo(5, 6));
  await write();
  t.same(written, [1]);
  t.equal(urlOf('a'), 'https://example.com/1');
  t.equal(await positionOf(), 6);
  t.equal(failure(), null);
});

t.test('without room it is known all the same, and written when there is', async (t) => {
  const { disk, copy, write, failure, told, steps, urlOf, storedUrlOf, positionOf } = start();
  await copy.write([stateOf('a', 5, 'https://example.com/old'), stateOf('b', 5, 'https://example.com/b')]);
  disk.isFull = true;
  await copy.write([stateOf('a', 7, 'https://example.com/new')]);
  await copy.write([stateOf('a', 6, 'https://example.com/earlier'), stateOf('gone', 6, null)], stepTo(5, 6));
  await copy.write([], stepTo(6, 8));
  await write();
  t.match(failure(), { message: 'full' });
  t.match(told, [{ message: 'full' }], 'once');
  t.same(['a', 'b', 'gone'].map(urlOf), ['https://example.com/new', 'https://example.com/b', null]);
  t.equal(storedUrlOf('a'), 'https://example.com/old');
  t.equal(await positionOf(), 8, 'and it goes on to follow');
  disk.isFull = false;
  await write();
  t.equal(failure(), null);
  t.equal(storedUrlOf('a'), 'https://example.com/new');
  t.same(steps, [stepTo(5, 8)]);
  t.equal(await positionOf(), 8);
});

t.test('what comes while it is written is written after it', async (t) => {
  const { disk, copy, write, failure, steps, storedUrlOf, during } = start();
  disk.isFull = true;
  await copy.write([stateOf('a', 6, 'https://example.com/1')], stepTo(5, 6));
  disk.isFull = false;
  during(() => copy.write([stateOf('a', 7, 'https://example.com/2')], stepTo(6, 7)));
  await write();
  t.same(steps, [stepTo(5, 6), stepTo(6, 7)]);
  t.equal(storedUrlOf('a'), 'https://example.com/2');
  t.equal(failure(), null);
});

t.test('many are written some at a time, and the position after all of them', async (t) => {
  const { disk, copy, write, written, steps } = start({ keysMax: 1200 });
  disk.isFull = true;
  const many = Array.from({ length: 1200 }, (_, index) => stateOf(`k${index}`, 6, 'https://example.com/1'));
  await copy.write(many, stepTo(5, 6));
  disk.isFull = false;
  await write();
  t.same(written, [500, 500, 200]);
  t.same(steps, [stepTo(5, 6)]);
});

t.test('of more than can be kept nothing is believed until all is written', async (t) => {
  const { disk, copy, write, urlOf, positionOf } = start({ keysMax: 2 });
  await copy.write([stateOf('a', 5, 'https://example.com/1'), stateOf('c', 5, 'https://example.com/old')]);
  disk.isFull = true;
  await copy.write([stateOf('a', 6, 'https://example.com/2'), stateOf('b', 6, 'https://example.com/2')]);
  t.equal(urlOf('a'), 'https://example.com/2');
  await t.rejects(copy.write([stateOf('c', 7, 'https://example.com/3')], stepTo(5, 7)), { message: 'full' });
  t.same(['a', 'b', 'c'].map(urlOf), [null, null, null], 'the database is asked');
  t.equal(await positionOf(), 5, 'which tells of it once more');
  await t.rejects(copy.write([]), { message: 'full' });
  disk.isFull = false;
  await write();
  t.same(['a', 'b', 'c'].map(urlOf), [null, null, null], 'what was not kept is not there yet');
  await copy.write([stateOf('c', 7, 'https://example.com/3')], stepTo(5, 7));
  t.same(
    ['a', 'b', 'c'].map(urlOf),
    [2, 2, 3].map((at) => `https://example.com/${at}`),
  );
});

t.test('a place of another history, or none, is not made more of', async (t) => {
  const { disk, copy, positionOf, lead, urlOf } = start();
  disk.isFull = true;
  await copy.write([stateOf('a', 9, 'https://example.com/1')], stepTo(5, 9));
  lead(3);
  t.equal(await positionOf(), 3);
  const later = { ...OF, begun: 2 };
  await copy.write([stateOf('a', 4, 'https://example.com/2', later)], { ...stepTo(3, 4), of: later });
  t.equal(urlOf('a'), 'https://example.com/2');
  disk.isNew = true;
  t.equal(await positionOf(), undefined);
});

t.test('where another history cannot be followed nothing is believed until it can', async (t) => {
  const { disk, copy, failure, told, urlOf } = start();
  await copy.write([stateOf('a', 5, 'https://example.com/1')]);
  disk.isFull = true;
  const end = { of: { ...OF, begun: 2 }, last: 9 };
  await t.rejects(copy.begin(end, null), { message: 'full' });
  t.equal(urlOf('a'), null, 'the database is asked');
  t.match(failure(), { message: 'full' });
  t.equal(told.length, 1);
  disk.isFull = false;
  await copy.begin(end, null);
  t.equal(urlOf('a'), 'https://example.com/1');
});
