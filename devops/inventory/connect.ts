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
  const ways: [name: string, transport: Transport][] =
    manifest.provider === 'local'
      ? [['local', createLocalTransport(variables)]]
      : manifest.hosts.map(({ name, address, port }) => [
          name,
          createSshTransport({
            name,
            address,
            port: port ?? manifest.ssh.port,
            user: manifest.ssh.user,
            identity: manifest.ssh.identity,
            knownHosts: manifest.ssh.known_hosts,
            proxyCommand: manifest.ssh.proxy_command,
          }),
        ]);
  const unknown = except.filter((name) => !ways.some(([known]) => known === name));
  if (unknown.length > 0) throw new ManifestError(`--except ${unknown.join(', ')}: there is no such host.`);
  const kept = ways.filter(([name]) => !except.includes(name));
  if (kept.length === 0) throw new ManifestError('No host is left to deploy to.');
  const clients = new Map(
    kept.map(([name, transport]) => [name, createHostClient({ name, root, transport, tool })]),
  );
  return {
    root,
    clients,
    async close() {
      for (const one of clients.values()) await one.close();
    },
  };
}

function expandHome(path: string): string {
  return path.startsWith('~') ? join(homedir(), path.slice(1)) : path;
}
