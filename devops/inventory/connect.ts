/** The hosts of an environment, each with a way to it. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { ManifestError } from '../manifest/read-manifest.ts';
import type { Manifest } from '../manifest/schema.ts';
import type { Archive } from '../release/archive.ts';
import { createHostClient, type HostClient } from '../remote/host-client.ts';
import { createLocalTransport } from '../transport/local.ts';
import { createSshTransport } from '../transport/ssh.ts';
import type { Transport } from '../transport/transport.ts';

export interface Inventory {
  readonly root: string;
  readonly clients: ReadonlyMap<string, HostClient>;
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly manifest: Manifest;
  /** Names of hosts that are left alone. */
  readonly except?: readonly string[];
  readonly tool: Archive;
  /** Of who deploys. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/** Throws ManifestError for a name that no host has, and where none is left. */
export function connect({ manifest, except = [], tool, variables }: ConnectOptions): Inventory {
  const root = expandHome(manifest.root);
  const ways: Readonly<Record<string, () => Transport>> =
    manifest.provider === 'local'
      ? { local: () => createLocalTransport(variables) }
      : Object.fromEntries(
          manifest.hosts.map((host) => [host.name, () => reach(manifest, host, manifest.ssh.user)]),
        );
  const clients = new Map(
    leaveOut(Object.keys(ways), except).map((name) => {
      const transport = (ways[name] as () => Transport)();
      return [name, createHostClient({ name, root, transport, tool })];
    }),
  );
  return {
    root,
    clients,
    async close() {
      await Promise.all([...clients.values()].map((one) => one.close()));
    },
  };
}

/** Throws ManifestError for a name that no host has, and where none is left. */
export function leaveOut(names: readonly string[], except: readonly string[]): string[] {
  const unknown = except.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new ManifestError(`--except ${unknown.join(', ')}: there is no such host.`);
  const left = names.filter((name) => !except.includes(name));
  if (left.length === 0) throw new ManifestError('No host is left.');
  return left;
}

type Hosts = Extract<Manifest, { provider: 'hosts' }>;

/** The same hosts for who may change them as root. */
export function connectAdmins(manifest: Hosts, names: readonly string[]): ReadonlyMap<string, Transport> {
  return new Map(
    manifest.hosts
      .filter(({ name }) => names.includes(name))
      .map((host) => [host.name, reach(manifest, host, manifest.ssh.admin)]),
  );
}

function reach({ ssh }: Hosts, { name, address, port }: Hosts['hosts'][number], user: string): Transport {
  return createSshTransport({
    name,
    address,
    port: port ?? ssh.port,
    user,
    identity: ssh.identity,
    knownHosts: ssh.known_hosts,
    proxyCommand: ssh.proxy_command,
  });
}

/** `~/` is the home of who deploys. */
export function expandHome(path: string): string {
  return path.startsWith('~') ? join(homedir(), path.slice(1)) : path;
}
