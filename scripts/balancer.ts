// HAProxy as a user's own balancer: it asks each host for /readyz, and one that is not ready gets no more requests.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { findCommand } from './requirements.ts';

export interface Balanced {
  readonly name: string;
  /** Where the service listens, as `host:port`. */
  readonly address: string;
}

/** Where it listens: `host:port`, as many as one likes. Throws where there is no HAProxy. */
export function startBalancer(
  file: string,
  { listens, hosts }: { readonly listens: readonly string[]; readonly hosts: readonly Balanced[] },
): ChildProcess {
  const program = findCommand('haproxy', process.env.PATH ?? '');
  if (program === null) throw new Error('HAProxy is missing: install the Debian package haproxy.');
  writeFileSync(file, configOf(listens, hosts));
  return spawn(program, ['-f', file, '-db'], { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
}

/** A host that has no other in its place is not given up for one answer that is late. */
const LATE_ALONE = 3;

function configOf(listens: readonly string[], hosts: readonly Balanced[]): string {
  return `defaults
  mode http
  timeout connect 1s
  timeout client 70s
  timeout server 70s
  option forwardfor
  option redispatch
  retries 3
frontend links
${listens.map((address) => `  bind ${address}`).join('\n')}
  default_backend hosts
backend hosts
  option httpchk GET /readyz
  default-server check inter 500ms fall ${hosts.length === 1 ? LATE_ALONE : 1} rise 2
${hosts.map(({ name, address }) => `  server ${name} ${address}`).join('\n')}
`;
}
