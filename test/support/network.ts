/**
 * Hosts with addresses of their own on this machine: Linux network namespaces on a bridge, which end with the test. Needs root and
 * the command `ip`.
 */

import { execFileSync } from 'node:child_process';
import type { Test } from 'tap';

export interface Network {
  /** Of everybody on it. */
  readonly cidr: string;
  /** Of this machine on it. */
  readonly gateway: string;
  addHost(): NetworkHost;
}

export interface NetworkHost {
  readonly address: string;
  /** What a command begins with that runs there. It keeps its process id. */
  readonly enter: readonly string[];
  /** From now on everything that this host sends to `other` gets lost, as behind a broken switch: nobody is told. */
  cutFrom(other: Pick<NetworkHost, 'address'>): void;
  mend(other: Pick<NetworkHost, 'address'>): void;
}

/** Of the names of devices (15 characters at most) and namespaces, and of the address. */
let networks = 0;

/** Null where there may be none; then the test `t` has been ended, and its caller returns. */
export function createNetwork(t: Test): Network | null {
  return requireRoot(t, 'network namespaces') ? openNetwork((work) => t.teardown(work)) : null;
}

/** True for root. Otherwise the test `t` has been ended, and its caller returns. */
export function requireRoot(t: Test, what: string): boolean {
  if (process.getuid?.() === 0) return true;
  const reason = `${what} need root`;
  if (process.env.REQUIRE_ALL === '1') t.fail(`${reason}, and REQUIRE_ALL=1 allows no skipped suite`);
  else {
    process.stderr.write(`!!! SKIPPED: ${reason}\n`);
    t.plan(0, reason);
  }
  return false;
}

/** `defer`: is given what ends it, the last one first to be done. Needs root. */
export function openNetwork(defer: (work: () => void) => void): Network {
  const name = `fl${process.pid}n${networks++}`;
  const prefix = pickPrefix();
  ip('link', 'add', name, 'type', 'bridge');
  defer(() => ip('link', 'del', name));
  ip('addr', 'add', `${prefix}.254/24`, 'dev', name);
  ip('link', 'set', name, 'up');
  let hosts = 0;

  function addHost(): NetworkHost {
    const number = ++hosts;
    const space = `${name}h${number}`;
    const address = `${prefix}.${number}`;
    const inside = (...args: string[]): void => ip('-n', space, ...args);
    ip('netns', 'add', space);
    // Takes its devices along.
    defer(() => ip('netns', 'del', space));
    ip('link', 'add', space, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
    ip('link', 'set', space, 'master', name, 'up');
    inside('addr', 'add', `${address}/24`, 'dev', 'eth0');
    for (const device of ['lo', 'eth0']) inside('link', 'set', device, 'up');
    const change = (verb: string, other: Pick<NetworkHost, 'address'>): void =>
      inside('route', verb, 'blackhole', `${other.address}/32`);
    return {
      address,
      enter: ['nsenter', `--net=/run/netns/${space}`, '--'],
      cutFrom: (other) => change('add', other),
      mend: (other) => change('del', other),
    };
  }

  return { cidr: `${prefix}.0/24`, gateway: `${prefix}.254`, addHost };
}

/** Of a network that nobody here has. */
function pickPrefix(): string {
  for (let number = process.pid % 250; ; number = (number + 1) % 250) {
    const prefix = `10.213.${number}`;
    if (execFileSync('ip', ['route', 'show', `${prefix}.0/24`]).length === 0) return prefix;
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
