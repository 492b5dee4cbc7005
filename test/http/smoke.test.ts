import t from 'tap';
import { ask, startService } from '../support/service.ts';

t.test('a link is made and followed', async (t) => {
  const service = await startService(t);
  const made = await ask('POST', `${service.url}/shorten`, {
    body: { url: 'https://example.com/a' },
    key: null,
  });
  t.equal(made.status, 201);
  const { key } = made.body as { key: string };
  const followed = await ask('GET', `${service.url}/${key}`, { key: null });
  t.equal(followed.status, 302);
  t.equal(followed.headers.get('location'), 'https://example.com/a');
});
