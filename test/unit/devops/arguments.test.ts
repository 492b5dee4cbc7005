// What the commands say of what was typed, each as a process.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const COMMANDS = ['deploy', 'rollback', 'provision', 'status', 'policy', 'audit', 'logs', 'exec', 'stop'];

function type(command: string, args: readonly string[], env: Record<string, string> = {}) {
  const words = (scripts[command] as string).split(' ').slice(1);
  const { status, stdout, stderr } = spawnSync(process.execPath, [...words, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME, npm_lifecycle_event: command, ...env },
  });
  return { status, stdout, stderr };
}

for (const command of COMMANDS) {
  t.test(`${command} wants an environment, and says how it is typed`, async (t) => {
    const args = command === 'exec' ? ['true'] : [];
    const stderr = new RegExp(`^--env is missing.*\\n\\n(?:.*\\n)*npm run ${command} -- --env NAME`);
    t.match(type(command, args), { status: 64, stdout: '', stderr });
  });
}

t.test('help is no mistake, and what nobody knows is one', async (t) => {
  const usage = /npm run status -- --env NAME/;
  t.match(type('status', ['--help']), { status: 0, stdout: usage, stderr: '' });
  t.match(type('status', ['--nonsense']), { status: 64, stdout: '', stderr: usage });
  t.match(type('status', ['--env', 'nowhere']), { status: 64, stderr: /There is no environment nowhere/ });
});

t.test('who forgets -- is told so', async (t) => {
  t.match(type('status', [], { npm_config_env: 'local' }), {
    status: 64,
    stderr: /Put -- before it: npm run status -- --env/,
  });
});

t.test('values that are none are told with what is expected', async (t) => {
  t.match(type('logs', ['--env', 'local', '--lines', '0']), { status: 64, stderr: /whole number from 1/ });
  t.match(type('logs', ['--env', 'local', '--level', 'loud']), { status: 64, stderr: /one of trace, debug/ });
  t.match(type('exec', ['--env', 'local']), { status: 64, stderr: /There is no command/ });
});
