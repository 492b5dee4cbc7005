// What a host says that is no answer ends the conversation with a sentence, and nothing else.
import t from 'tap';
import { openSession } from '../../../devops/remote/session.ts';
import { createLocalTransport } from '../../../devops/transport/local.ts';

const transport = createLocalTransport(process.env);
const ask = (script: string) =>
  openSession('h1', transport, ['sh', '-c', script]).ask({ verb: 'inspect' }, 10_000);

t.test('answers come by their number', async (t) => {
  const session = openSession('h1', transport, [
    'sh',
    '-c',
    'echo hello; read -r one; read -r two; echo \'{"id":2,"ok":"two"}\'; echo \'{"id":1,"ok":"one"}\'',
  ]);
  t.same(await Promise.all([session.ask({}, 10_000), session.ask({}, 10_000)]), [
    { ok: 'one' },
    { ok: 'two' },
  ]);
  session.close();
});

t.test('what is no answer is told', async (t) => {
  const error = { name: 'TransportError' };
  await t.rejects(ask('read -r line; echo {oops; cat'), {
    ...error,
    message: 'h1 said what is no answer: {oops',
  });
  await t.rejects(ask(`read -r line; printf '{"id":1,"ok":{"curr'; exit 255`), {
    ...error,
    message: /^h1 stopped answering \(255\)/,
  });
  await t.rejects(ask('read -r line; head -c 20000000 /dev/zero'), {
    ...error,
    message: 'The host says more than anybody asked for.',
  });
  await t.rejects(ask('read -r line; head -c 20000000 /dev/zero >&2'), {
    ...error,
    message: 'The host says more than anybody asked for.',
  });
  await t.rejects(ask('exit 127'), { name: 'NotThereError', message: 'h1 has no program of ours.' });
});
