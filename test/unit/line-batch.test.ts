import t from 'tap';
import { createLineBatch } from '../../app/kernel/line-batch.ts';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

t.test('lines of one turn leave as one write, those of the next as another', async (t) => {
  const writes: string[] = [];
  const batch = createLineBatch({ write: (text) => writes.push(text) });
  batch.write('a\n');
  batch.write('b\n');
  t.same(writes, []);
  await nextTurn();
  t.same(writes, ['a\nb\n']);
  batch.write('c\n');
  await nextTurn();
  t.same(writes, ['a\nb\n', 'c\n']);
});

t.test('a flush hands over what the turn has not, and nothing twice', async (t) => {
  const writes: string[] = [];
  const batch = createLineBatch({ write: (text) => writes.push(text) });
  batch.flush();
  batch.write('a\n');
  batch.flush();
  t.same(writes, ['a\n']);
  await nextTurn();
  t.same(writes, ['a\n']);
});
