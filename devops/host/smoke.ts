/** Follows a link of the service on its own port, as a stranger does: made once, the same for every deploy. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { publicPortOf, readServiceEnvironment } from './environment.ts';
import { HostError } from './host-error.ts';
import type { Layout } from './layout.ts';
import { ask } from './probe.ts';

export interface Smoke {
  /** Null: there is no key to make links with, so only /readyz was asked. */
  readonly link: string | null;
  readonly status: number;
}

export const SMOKE_KEY = 'fleetlink-smoke';
const TARGET = 'https://example.com/fleetlink-smoke';

/** Throws HostError `unhealthy`. */
export async function smoke(layout: Layout): Promise<Smoke> {
  const variables = readServiceEnvironment(layout);
  const origin = `http://127.0.0.1:${publicPortOf(variables)}`;
  const apiKey = variables.ADMIN_API_KEY ?? readKeyFile(layout);
  if (apiKey === null) return checkReady(origin);
  const made = await ask(`${origin}/api/v1/links/${SMOKE_KEY}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url: TARGET, title: 'Followed by each deploy' }),
  });
  // The first key was deleted, as people are told to do: then there is none that we know.
  if (made.status === 401) return checkReady(origin);
  if (made.status !== 200 && made.status !== 201)
    throw unhealthy(`PUT of ${SMOKE_KEY} answered ${made.status}`);
  const followed = await ask(`${origin}/${SMOKE_KEY}`, { method: 'HEAD' });
  if (followed.status !== 302 || followed.headers.get('location') !== TARGET) {
    throw unhealthy(`/${SMOKE_KEY} answered ${followed.status}`);
  }
  const base = variables.BASE_URL ?? origin;
  return { link: `${base}/${SMOKE_KEY}`, status: followed.status };
}

async function checkReady(origin: string): Promise<Smoke> {
  const { status } = await ask(`${origin}/readyz`);
  if (status !== 200) throw unhealthy(`/readyz answered ${status}`);
  return { link: null, status };
}

/** Made by the first start. */
function readKeyFile(layout: Layout): string | null {
  try {
    return readFileSync(join(layout.data, 'admin-api-key'), 'utf8').trim();
  } catch {
    // It was read and deleted, or there never was one.
    return null;
  }
}

function unhealthy(what: string): HostError {
  return new HostError('unhealthy', `After the switch ${what}.`);
}
