/** A real OpenSSH server of a test's own, on a free port of the loopback interface, for whoever runs the test. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { SshOptions } from '../../devops/transport/ssh.ts';
import { findFreePort } from '../../scripts/processes.ts';
import { findCommand } from '../../scripts/requirements.ts';
import { isListening } from './is-listening.ts';
import { makeFolder } from './service.ts';
import { until } from './until.ts';

export interface Sshd {
  readonly options: SshOptions;
  kill(): Promise<void>;
}

export async function startSshd(t: Test): Promise<Sshd> {
  const folder = makeFolder(t);
  const port = await findFreePort();
  const at = (name: string): string => join(folder, name);
  for (const name of ['host', 'user']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  }
  writeFileSync(at('authorized'), readFileSync(at('user.pub')), { mode: 0o600 });
  writeFileSync(at('known'), `[127.0.0.1]:${port} ${readFileSync(at('host.pub'), 'utf8')}`);
  writeFileSync(
    at('config'),
    `ListenAddress 127.0.0.1:${port}
HostKey ${at('host')}
AuthorizedKeysFile ${at('authorized')}
PidFile none
PasswordAuthentication no
StrictModes no
UsePAM no
`,
  );
  // Where it gives up its privileges, if it has any.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true });
  const child = spawn(
    findCommand('sshd', process.env.PATH ?? '') as string,
    ['-D', '-e', '-f', at('config')],
    {
      stdio: 'ignore',
    },
  );
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(kill);
  await until('sshd listens', () => isListening('127.0.0.1', port));
  return {
    kill,
    options: {
      name: 'h1',
      address: '127.0.0.1',
      port,
      user: userInfo().username,
      identity: at('user'),
      knownHosts: at('known'),
      proxyCommand: undefined,
    },
  };
}
