// Hosts over SSH, by a real sshd: commands arrive word by word, files arrive whole, and what goes wrong is told.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { createSshTransport } from '../../devops/transport/ssh.ts';
import { requireCommand } from '../support/requirement.ts';
import { makeFolder } from '../support/service.ts';
import { startSshd } from '../support/sshd.ts';

const WITHIN = { timeoutMs: 20_000 };

async function main(t: Test): Promise<void> {
  await t.test('words, codes and bytes come through as they are', async (t) => {
    const { options } = await startSshd(t);
    const transport = createSshTransport(options);
    t.teardown(transport.close);
    const words = ["it's", 'two words', '$HOME', '*', '', '"', 'a;b', 'ü'];
    const { stdout } = await transport.run(['printf', '%s\\n', ...words], WITHIN);
    t.same(stdout.split('\n').slice(0, -1), words);
    t.match(await transport.run(['sh', '-c', 'echo no >&2; exit 7'], WITHIN), { code: 7, stderr: 'no\n' });
    const bytes = Buffer.alloc(3_000_000, Buffer.from([...Array(251).keys()]));
    const path = join(makeFolder(t), 'received');
    const sent = await transport.run(['sh', '-c', `cat > '${path}'`], {
      ...WITHIN,
      input: [Readable.from([bytes])],
    });
    t.equal(sent.code, 0);
    const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    t.equal(hash(readFileSync(path)), hash(bytes));
    await t.rejects(transport.run(['sleep', '30'], { timeoutMs: 300 }), {
      name: 'TransportError',
      message: /gave no answer within 0\.3 s/,
    });
  });

  await t.test('a host that is not who it was is not talked to', async (t) => {
    const { options } = await startSshd(t);
    const other = await startSshd(t);
    const known = readFileSync(other.options.knownHosts as string, 'utf8').replace(
      /^\S+/,
      `[127.0.0.1]:${options.port}`,
    );
    const knownHosts = join(makeFolder(t), 'known');
    writeFileSync(knownHosts, known);
    const transport = createSshTransport({ ...options, knownHosts });
    t.teardown(transport.close);
    await t.rejects(transport.run(['true'], WITHIN), {
      name: 'TransportError',
      message: /^h1 \(127\.0\.0\.1\) cannot be reached: .*Fetch its key from where you trust it/,
    });
    const unknown = createSshTransport({ ...options, identity: other.options.identity });
    t.teardown(unknown.close);
    await t.rejects(unknown.run(['true'], WITHIN), {
      message: /Permission denied.*Look at ssh\.user and ssh\.identity/,
    });
  });

  await t.test('a host that goes away in the middle is told as one that cannot be reached', async (t) => {
    const { options, kill } = await startSshd(t);
    const transport = createSshTransport(options);
    t.teardown(transport.close);
    t.match(await transport.run(['true'], WITHIN), { code: 0 });
    await transport.close();
    await kill();
    await t.rejects(transport.run(['true'], WITHIN), {
      name: 'TransportError',
      message: /cannot be reached: .*refused/,
    });
  });
}

if (requireCommand(t, 'sshd')) await main(t);
