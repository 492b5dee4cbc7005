// Each database has a copy of its own on a host, and old ones go.
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { copyPathOf, removeOldCopies } from '../../app/store/sqlite/copy-files.ts';

const DAY_S = 24 * 60 * 60;

t.test('a copy is found by its database, whatever the password', (t) => {
  const pathOf = (url: string) => copyPathOf('/data', url);
  const path = pathOf('postgres://fleet:one@db.example.com:5433/links');
  t.match(path, /^\/data\/copy-[0-9a-f]{12}\.db$/);
  t.equal(pathOf('postgres://other:two@db.example.com:5433/links'), path);
  for (const url of [
    'db.example.com:5434/links',
    'db.example.com:5433/other',
    'other.example.com:5433/links',
  ]) {
    t.not(pathOf(`postgres://fleet:one@${url}`), path);
  }
  t.end();
});

t.test('copies of other databases go once nobody has written them for a week', (t) => {
  const dataDir = t.testdir();
  const nowS = 100 * DAY_S;
  const write = (name: string, ageDays: number) => {
    writeFileSync(join(dataDir, name), '');
    utimesSync(join(dataDir, name), nowS, nowS - ageDays * DAY_S);
  };
  const [own, recent, old] = ['copy-0123456789ab.db', 'copy-aaaaaaaaaaaa.db', 'copy-bbbbbbbbbbbb.db'];
  for (const name of [own, `${own}-wal`, 'clicks.db', old, `${old}-wal`, `${old}-shm`, 'copy.db'])
    write(name, 8);
  write(recent, 6);
  const quiet = 'copy-cccccccccccc.db';
  write(quiet, 9);
  write(`${quiet}-wal`, 2);
  removeOldCopies(dataDir, join(dataDir, own), nowS * 1000);
  t.same(readdirSync(dataDir).sort(), ['clicks.db', own, `${own}-wal`, recent, quiet, `${quiet}-wal`]);
  t.end();
});
