// What binaries need of a host.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { archiveOnce } from '../../../devops/release/archive.ts';
import { compareVersions, readNeeds } from '../../../devops/release/needs.ts';

async function pack(t: Test, id: string, write: (folder: string) => void) {
  const cache = t.testdir({ folder: {} });
  const folder = join(cache, 'folder');
  write(folder);
  return archiveOnce(cache, id, async () => ({ folder, remove: () => undefined }));
}

t.test('versions are compared by their numbers', async (t) => {
  t.same(['2.34', '2.9', '2.4', '2.34.1'].sort(compareVersions), ['2.4', '2.9', '2.34', '2.34.1']);
  t.equal(compareVersions('2.17', '2.17'), 0);
});

t.test('the newest glibc that a compiled module or Node asks for', async (t) => {
  const archive = await pack(t, 'made', (folder) => {
    mkdirSync(join(folder, 'base/bin'), { recursive: true });
    // Across the border of two chunks.
    const at = (version: string) => Buffer.concat([Buffer.alloc(65_530), Buffer.from(`GLIBC_${version}\0`)]);
    writeFileSync(join(folder, 'base/bin/node'), at('2.28'));
    writeFileSync(join(folder, 'a.node'), at('2.9'));
    writeFileSync(join(folder, 'readme.md'), 'GLIBC_9.99');
  });
  t.same(await readNeeds([archive]), { glibc: '2.28' });
  rmSync(archive.file);
  t.same(await readNeeds([archive]), { glibc: '2.28' }, 'it is read once');
});

t.test('the one of better-sqlite3 is one that this machine has, and nothing needs none', async (t) => {
  const real = await pack(t, 'real', (folder) => {
    cpSync(resolve('node_modules/better-sqlite3/build/Release/better_sqlite3.node'), join(folder, 'x.node'));
  });
  const { glibc } = await readNeeds([real]);
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime: string } };
  t.match(glibc, /^2\.\d+$/);
  t.ok(compareVersions(glibc as string, header.glibcVersionRuntime) <= 0, `${glibc}`);
  t.same(await readNeeds([await pack(t, 'none', (folder) => writeFileSync(join(folder, 'a.js'), ''))]), {
    glibc: null,
  });
});
