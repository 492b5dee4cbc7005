// Files on a host that are whole or absent.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readJson, writeAtomically } from '../../../devops/host/files.ts';
import { mountSmallDisk } from '../../support/small-disk.ts';

t.test('on a disk without room the file stays as it was, and it is said', async (t) => {
  const disk = mountSmallDisk(t, 256);
  if (disk === null) return;
  const path = join(disk.path, 'state.json');
  writeAtomically(path, '{"small":true}\n', 0o600);
  t.equal(statSync(path).mode & 0o777, 0o600);
  // One page is free, and what comes needs two.
  disk.fill();
  const filler = join(disk.path, 'filler');
  const text = readFileSync(filler);
  disk.free();
  writeFileSync(filler, text.subarray(0, text.length - 4096));
  t.throws(() => writeAtomically(path, JSON.stringify({ large: 'x'.repeat(6000) })), { code: 'ENOSPC' });
  t.same(readJson(path), { small: true });
  t.same(readdirSync(disk.path).sort(), ['filler', 'state.json'], 'and nothing is left behind');
});

t.test('what cannot be read is named', async (t) => {
  const path = join(t.testdir(), 'state.json');
  t.equal(readJson(path), null);
  writeFileSync(path, '{"cut":');
  t.throws(() => readJson(path), {
    code: 'corrupt',
    message: /state\.json is damaged .*: put it right, or remove it/,
  });
});
