/** This machine as a host, with an environment as empty as the one that a login over SSH gives. */

import { openCommand, runCommand } from './run-command.ts';
import type { Transport } from './transport.ts';

export function createLocalTransport(variables: Readonly<Record<string, string | undefined>>): Transport {
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = variables;
  return {
    run: (argv, options) => runCommand(argv, { ...options, env: { PATH, HOME } }),
    open: (argv, onLine) => openCommand(argv, onLine, { PATH, HOME }),
    close: async () => undefined,
  };
}
