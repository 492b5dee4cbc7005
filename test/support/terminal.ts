/** A command in a pseudo terminal, as a person would see and stop it. Needs `script` (Debian package bsdutils). */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Test } from 'tap';
import { type ServerProcess, watch } from './server-process.ts';

export interface TerminalProcess extends Pick<ServerProcess, 'exit'> {
  readonly child: ChildProcess;
  /** Everything on the screen so far, without colours and with plain line ends. */
  readonly screen: () => string;
  pressCtrlC(): void;
}

export function spawnInTerminal(
  t: Test,
  { argv, env }: { argv: readonly string[]; env: NodeJS.ProcessEnv },
): TerminalProcess {
  const command = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  // --return: its exit code is the command's. --flush: nothing waits in a buffer.
  const args = ['--quiet', '--return', '--flush', '--command', `exec ${command}`, '/dev/null'];
  const child = spawn('script', args, { env: { ...env, TERM: 'xterm' }, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const { exit } = watch(t, child);
  return {
    child,
    exit,
    screen: () => output.replace(COLOURS, '').replaceAll('\r\n', '\n'),
    pressCtrlC: () => void child.stdin.write('\u0003'),
  };
}

// The control sequences of a terminal begin with the escape character.
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
