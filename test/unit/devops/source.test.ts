// What of a repository goes into a release.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { takeSource } from '../../../devops/release/source.ts';

function makeRepository(t: Test): string {
  const folder = t.testdir({ 'one.txt': 'committed', deep: { 'two.txt': 'too' }, '.gitignore': 'ignored\n' });
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', folder, '-c', 'user.name=test', '-c', 'user.email=test@example.com', ...args]);
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '--no-verify', '-m', 'all');
  return folder;
}

t.test('of a clean tree it is the commit, and nothing beside it', async (t) => {
  const repository = makeRepository(t);
  writeFileSync(join(repository, 'ignored'), 'not in git');
  const source = await takeSource(repository, { allowDirty: false });
  t.teardown(source.remove);
  t.match(source, { commit: /^[0-9a-f]{40}$/, isDirty: false });
  t.ok(Math.abs(source.committedAtMs - Date.now()) < 60_000);
  t.equal(readFileSync(join(source.folder, 'deep/two.txt'), 'utf8'), 'too');
  t.notOk(existsSync(join(source.folder, 'ignored')));
  source.remove();
  t.notOk(existsSync(source.folder));
});

t.test('changes are refused by name, or taken along where that is asked for', async (t) => {
  const repository = makeRepository(t);
  writeFileSync(join(repository, 'one.txt'), 'changed');
  mkdirSync(join(repository, 'new'));
  writeFileSync(join(repository, 'new/three.txt'), 'new');
  await t.rejects(takeSource(repository, { allowDirty: false }), {
    message:
      /not committed:\n {3}M one\.txt\n {2}\?\? new\/\nCommit them, or deploy them as they are with --allow-dirty/,
  });
  const source = await takeSource(repository, { allowDirty: true });
  t.teardown(source.remove);
  t.equal(source.isDirty, true);
  t.equal(readFileSync(join(source.folder, 'one.txt'), 'utf8'), 'changed');
  t.equal(readFileSync(join(source.folder, 'new/three.txt'), 'utf8'), 'new');
});
