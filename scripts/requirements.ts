// The table of what some suites need beyond npm packages, and how to tell whether it is there. `npm test` installs what
// is missing where it may (pretest.ts); a suite asks again when it runs (test/support/requirement.ts).
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Requirement {
  readonly command: string;
  /** The Debian package that brings the command. */
  readonly debian: string;
  /** What is not tested without it, as the end of the sentence "skipped: …". */
  readonly suites: string;
}

export const requirements: readonly Requirement[] = [
  { command: 'script', debian: 'bsdutils', suites: 'what a person sees on a terminal' },
  { command: 'curl', debian: 'curl', suites: 'the line that the greeting offers' },
  { command: 'prlimit', debian: 'util-linux', suites: 'what becomes of clicks when the disk reports errors' },
  { command: 'openssl', debian: 'openssl', suites: 'the line that marks test requests' },
  { command: 'initdb', debian: 'postgresql', suites: 'hosts that share a database' },
  { command: 'sshd', debian: 'openssh-server', suites: 'hosts over SSH' },
  { command: 'ip', debian: 'iproute2', suites: 'hosts whose network is cut' },
  { command: 'tini', debian: 'tini', suites: 'deploys to hosts of their own' },
  { command: 'haproxy', debian: 'haproxy', suites: 'deploys behind a balancer' },
  { command: 'systemctl', debian: 'systemd', suites: 'the start of a deployed service with its machine' },
  { command: 'caddy', debian: 'caddy', suites: 'the balancer that provisioning sets up' },
];

// Daemons such as sshd live where an ordinary user's PATH does not look, and PostgreSQL in a folder for each version.
// Looked for anew each time: a package may have been installed meanwhile.
const listSystemFolders = (): string[] => [
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  ...listVersions('/usr/lib/postgresql'),
];

/** The newest first. */
function listVersions(folder: string): string[] {
  const versions = existsSync(folder) ? readdirSync(folder).map(Number) : [];
  return versions.sort((a, b) => b - a).map((version) => join(folder, String(version), 'bin'));
}

/** The full path of a command, or null when no folder of PATH (nor one for daemons) has it. */
export function findCommand(command: string, searchPath: string): string | null {
  const folders = [...searchPath.split(':').filter((folder) => folder !== ''), ...listSystemFolders()];
  return folders.map((folder) => join(folder, command)).find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    // Absent and not executable are the same answer here.
    return false;
  }
}
