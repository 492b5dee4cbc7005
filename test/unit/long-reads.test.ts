// Few long reads at a time, however many ask.
import t from 'tap';
import { createLongReads, STREAMS_MAX, WAITING_MAX } from '../../app/guard/long-reads.ts';
import { nextTurn } from '../../app/kernel/portions.ts';

const wanted = () => true;

/** A read that ends when told to. */
function createRead() {
  let begun = 0;
  const ends: (() => void)[] = [];
  const read = () => {
    begun++;
    return new Promise<string>((resolve) => ends.push(() => resolve('read')));
  };
  return { read, begun: () => begun, endOne: () => ends.shift()?.() };
}

t.test('two run at a time, the next in the order in which they came', async (t) => {
  const { run } = createLongReads();
  const { read, begun, endOne } = createRead();
  const answers = Array.from({ length: 4 }, () => run(read, wanted));
  await nextTurn();
  t.equal(begun(), 2);
  endOne();
  t.equal(await answers[0], 'read');
  await nextTurn();
  t.equal(begun(), 3);
  for (let left = 3; left > 0; left--) {
    endOne();
    await nextTurn();
  }
  t.same(await Promise.all(answers), ['read', 'read', 'read', 'read']);
});

t.test('too many that wait are refused, and room is made by those that begin', async (t) => {
  const { run } = createLongReads();
  const { read, begun, endOne } = createRead();
  const answers = Array.from({ length: WAITING_MAX }, () => run(read, wanted));
  await nextTurn();
  answers.push(run(read, wanted), run(read, wanted));
  await t.rejects(run(read, wanted), { code: 'unavailable', retryAfterSeconds: 1 });
  for (const answer of answers) {
    endOne();
    t.equal(await answer, 'read');
    await nextTurn();
  }
  t.equal(begun(), WAITING_MAX + 2);
});

t.test('what nobody wants any more when its turn comes is not read', async (t) => {
  const { run } = createLongReads();
  const { read, begun, endOne } = createRead();
  let isThere = true;
  const first = [run(read, wanted), run(read, wanted)];
  const left = run(read, () => isThere);
  await nextTurn();
  isThere = false;
  endOne();
  endOne();
  await Promise.all(first);
  t.equal(await left, null);
  t.equal(begun(), 2);
});

t.test('a read that fails makes room as well', async (t) => {
  const { run } = createLongReads();
  const fail = () => Promise.reject(new Error('broken'));
  for (let time = 0; time < 5; time++) await t.rejects(run(fail, wanted), { message: 'broken' });
});

async function* count(to: number, onEnd: () => void): AsyncGenerator<string> {
  try {
    for (let number = 1; number <= to; number++) yield String(number);
  } finally {
    onEnd();
  }
}

t.test('pieces come in their order, and who ends early ends the making of them', async (t) => {
  const { inPieces } = createLongReads();
  let ended = 0;
  const onEnd = () => {
    ended++;
  };
  const all: string[] = [];
  for await (const piece of inPieces(count(3, onEnd))) all.push(piece);
  t.same([all, ended], [['1', '2', '3'], 1]);
  for await (const piece of inPieces(count(3, onEnd))) {
    t.equal(piece, '1');
    break;
  }
  t.equal(ended, 2);
});

t.test('so many are read in pieces at a time, and one more when one has ended', async (t) => {
  const { inPieces } = createLongReads();
  const open = Array.from({ length: STREAMS_MAX }, () => inPieces(count(2, () => undefined)));
  for (const pieces of open) t.match(await pieces.next(), { value: '1' });
  await t.rejects(inPieces(count(2, () => undefined)).next(), { code: 'unavailable' });
  await open[0]?.return(undefined);
  t.match(await inPieces(count(2, () => undefined)).next(), { value: '1' });
});
