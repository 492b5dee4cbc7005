// What a deploy would change on a host.
import t from 'tap';
import { diffVariables } from '../../../devops/roll/check.ts';

t.test('variables are told apart by name, and secrets are dots', async (t) => {
  const changes = diffVariables({
    now: {
      PORT: '3000',
      GONE: 'x',
      BASE_URL: 'https://a',
      KEY: 'one',
      SAME: '1',
      SYNTHETIC_SECRET: 'made there',
    },
    next: { PORT: '3001', BASE_URL: 'https://a', KEY: 'two', NEW: 'y', SAME: '1' },
    secrets: new Set(['KEY']),
  });
  t.same(changes, [
    { name: 'GONE', from: 'x', to: null },
    { name: 'KEY', from: '•••', to: '•••' },
    { name: 'NEW', from: null, to: 'y' },
    { name: 'PORT', from: '3000', to: '3001' },
  ]);
  const given = diffVariables({
    now: { SYNTHETIC_SECRET: 'a' },
    next: { SYNTHETIC_SECRET: 'b' },
    secrets: new Set(),
  });
  t.same(given, [{ name: 'SYNTHETIC_SECRET', from: '•••', to: '•••' }]);
});
