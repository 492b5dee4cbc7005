// Texts that clicks share, as numbers.

import Database from 'better-sqlite3';
import t from 'tap';
import { OTHER_WORD, WORDS_OF_KIND_MAX } from '../../app/store/click-rows.ts';
import { createClickWords } from '../../app/store/sqlite/click-words.ts';
import { openClicks, queryClicks } from '../support/clicks.ts';

async function open(t: Parameters<typeof openClicks>[0], dataDir = t.testdir()) {
  await openClicks(t, { dataDir });
  const connection = new Database(`${dataDir}/clicks.db`);
  t.teardown(() => connection.close());
  return { connection, dataDir };
}

t.test('a text has one number, for all processes and kinds apart', async (t) => {
  const { connection, dataDir } = await open(t);
  const words = createClickWords(connection);
  const id = words.idOf('agent', 'x');
  t.equal(words.idOf('agent', 'x'), id);
  t.not(words.idOf('referrer', 'x'), id);
  t.equal(words.idOf('agent', null), null);
  t.ok(Number(words.idOf('agent', '')) > 0, 'no header at all is a text, too');
  words.keep();
  const { connection: another } = await open(t, dataDir);
  const others = createClickWords(another);
  t.equal(others.idOf('agent', 'x'), id);
  const made = others.idOf('language', 'de');
  t.equal(words.idOf('language', 'de'), made, 'what another process made is found');
});

t.test('whoever sends a new text each time fills its kind and no other', async (t) => {
  const { connection, dataDir } = await open(t);
  const words = createClickWords(connection, 3);
  const ids = ['a', 'b', 'c', 'd', 'e', 'a'].map((text) => words.idOf('agent', text));
  t.same(ids, [1, 2, 3, OTHER_WORD, OTHER_WORD, 1]);
  t.equal(words.idOf('country', 'NL'), 4);
  words.keep();
  const again = createClickWords(connection, 3);
  t.same([again.idOf('agent', 'f'), again.idOf('agent', 'b')], [OTHER_WORD, 2], 'also for the next process');
  t.same(queryClicks(dataDir, 'select count(*) as count from words'), [{ count: 4 }]);
  t.equal(WORDS_OF_KIND_MAX, 200_000);
});

t.test('what was rolled back is forgotten, what was committed is not', async (t) => {
  const { connection } = await open(t);
  const words = createClickWords(connection, 2);
  const kept = words.idOf('agent', 'kept');
  words.keep();
  connection.exec('begin');
  words.idOf('agent', 'lost');
  t.equal(words.idOf('agent', 'no room'), OTHER_WORD);
  connection.exec('rollback');
  words.forget();
  t.equal(words.idOf('agent', 'kept'), kept);
  const id = words.idOf('agent', 'another');
  t.not(id, OTHER_WORD, 'there is room again');
  t.equal(connection.prepare('select id from words where text = ?').pluck().get('another'), id);
  words.keep();
  words.forget();
  t.equal(words.idOf('agent', 'another'), id, 'there was nothing to forget');
});

t.test('1,000,000 different texts cost neither memory nor disk without end', async (t) => {
  const isProof = process.env.PROVE === '1';
  const [texts, most] = isProof ? [1_000_000, WORDS_OF_KIND_MAX] : [50_000, 10_000];
  const { connection } = await open(t);
  const words = createClickWords(connection, most);
  connection.exec('begin');
  for (let n = 0; n < texts; n++) {
    words.idOf('agent', `${n} ${'x'.repeat(290)}`);
    if (n % 1000 !== 999) continue;
    connection.exec('commit; begin');
    words.keep();
  }
  connection.exec('commit');
  t.equal(connection.prepare('select count(*) from words').pluck().get(), most);
});
