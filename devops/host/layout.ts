/**
 * Where things lie on a host, below one root folder. Layers and releases are named by what they are, so what is there is right and
 * is never written to; `current` is the one thing that moves.
 */

import { join } from 'node:path';

export interface Layout {
  readonly root: string;
  /** Node and PM2, which only provisioning changes. */
  readonly node: string;
  readonly pm2: string;
  readonly pm2Home: string;
  readonly layers: string;
  readonly releases: string;
  readonly current: string;
  readonly data: string;
  /** What the service reads: its variables, and the nonce of the deploy that started it. */
  readonly serviceEnv: string;
  readonly deployEnv: string;
  readonly state: string;
  readonly lease: string;
  readonly lock: string;
  readonly journal: string;
  readonly logs: string;
  /** Copies that a rehearsal works on. */
  readonly shadow: string;
  release(id: string): string;
  layer(id: string): string;
}

export function layoutOf(root: string): Layout {
  const at = (...parts: string[]): string => join(root, ...parts);
  return {
    root,
    node: at('base', 'current', 'bin', 'node'),
    pm2: at('base', 'current', 'pm2', 'node_modules', 'pm2', 'index.js'),
    pm2Home: at('pm2'),
    layers: at('layers'),
    releases: at('releases'),
    current: at('current'),
    data: at('shared', 'data'),
    serviceEnv: at('shared', 'env', 'service.env'),
    deployEnv: at('shared', 'env', 'deploy.env'),
    state: at('state.json'),
    lease: at('lease.json'),
    lock: at('lock'),
    journal: at('journal'),
    logs: at('pm2', 'logs'),
    shadow: at('shadow'),
    release: (id) => at('releases', id),
    layer: (id) => at('layers', id),
  };
}
