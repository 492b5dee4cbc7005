// Where secrets come from, and that none is told when it cannot be had.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as age from 'age-encryption';
import t, { type Test } from 'tap';
import { fetchReceivers, fetchSecrets } from '../../../devops/manifest/secrets.ts';

async function makeAgeFile(t: Test, { isArmored = false } = {}) {
  const folder = t.testdir();
  const identity = await age.generateIdentity();
  const encrypter = new age.Encrypter();
  encrypter.addRecipient(await age.identityToRecipient(identity));
  const bytes = await encrypter.encrypt('ADMIN_API_KEY=very-secret\nOTHER="two words"\n');
  const path = join(folder, 'staging.age');
  writeFileSync(path, isArmored ? age.armor.encode(bytes) : bytes);
  return { path, identity, folder };
}

t.test('a secret is of a variable, a file, a command, or a file encrypted with age', async (t) => {
  const { path, identity, folder } = await makeAgeFile(t);
  writeFileSync(join(folder, 'plain'), 'in a file\n');
  const variables = { TOKEN: 'in a variable', AGE_IDENTITY: identity };
  const secrets = await fetchSecrets(
    {
      A: { env: 'TOKEN' },
      B: { file: join(folder, 'plain') },
      C: { command: ['printf', 'said by a command'] },
      ADMIN_API_KEY: { age: path },
    },
    variables,
  );
  t.same(secrets, {
    A: 'in a variable',
    B: 'in a file',
    C: 'said by a command',
    ADMIN_API_KEY: 'very-secret',
  });
});

t.test('the keys of age may lie in a file, and what they open be text', async (t) => {
  const { path, identity, folder } = await makeAgeFile(t, { isArmored: true });
  const keys = join(folder, 'keys.txt');
  writeFileSync(keys, `# created: today\n# public key: age1…\n${identity}\n`);
  t.same(await fetchSecrets({ OTHER: { age: path } }, { AGE_IDENTITY: keys }), { OTHER: 'two words' });
});

t.test('what cannot be had is named, and nothing of what is secret', async (t) => {
  const { path, identity } = await makeAgeFile(t);
  const failing = {
    A: { env: 'NOT_SET' },
    B: { age: path },
    C: { command: ['sh', '-c', 'echo canary; exit 3'] },
    D: { age: '/not/there.age' },
  };
  await t.rejects(fetchSecrets(failing, { AGE_IDENTITY: identity }), {
    name: 'ManifestError',
    message:
      /secrets\.A: the variable NOT_SET is not set here\n {2}secrets\.B: .*staging\.age has no B\n {2}secrets\.C: sh ended with 3\n {2}secrets\.D: \/not\/there\.age is not there$/,
  });
  const other = await age.generateIdentity();
  await t.rejects(fetchSecrets({ ADMIN_API_KEY: { age: path } }, { AGE_IDENTITY: other }), {
    message: /cannot be opened with the keys that are here/,
  });
  await t.rejects(fetchSecrets({ ADMIN_API_KEY: { age: path } }, { AGE_IDENTITY: '/no/file' }), {
    message: /no key of age is here: set AGE_IDENTITY/,
  });
});

t.test('addresses of webhooks are secrets too', async (t) => {
  const receivers = await fetchReceivers([{ slack: { env: 'ONE' } }, { webhook: { env: 'TWO' } }], {
    ONE: 'https://one.example',
    TWO: 'https://two.example',
  });
  t.same(receivers, [
    { kind: 'slack', url: 'https://one.example' },
    { kind: 'webhook', url: 'https://two.example' },
  ]);
});
