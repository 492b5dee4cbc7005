/** How the hosts are before a deploy, each asked at the same time, and the plan that follows from it. */

import type { HostFacts } from '../host/inspect.ts';
import { listGood } from '../host/state.ts';
import type { Manifest } from '../manifest/schema.ts';
import type { Archive } from '../release/archive.ts';
import type { HostClient } from '../remote/host-client.ts';
import { NotThereError, TransportError } from '../transport/transport.ts';
import { type Plan, planDeploy, planRollback } from './plan.ts';

/** Hosts that cannot be reached, each with why. */
export class UnreachableError extends Error {
  override name = 'UnreachableError';
  readonly hosts: readonly string[];

  constructor(faults: ReadonlyMap<string, string>) {
    const hosts = [...faults.keys()];
    super(
      `${[...faults.values()].join('\n')}\nLeave ${hosts.length === 1 ? 'it' : 'them'} out by name if that is meant: ${hosts.map((host) => `--except ${host}`).join(' ')}.`,
    );
    this.hosts = hosts;
  }
}

export interface SurveyOptions {
  /** Sent to hosts that have none; null: they are left as they are, and say nothing. */
  readonly base: Archive | null;
  readonly onNote: (text: string) => void;
}

/** Throws UnreachableError that names all of those. */
export async function survey(
  clients: ReadonlyMap<string, HostClient>,
  options: SurveyOptions,
): Promise<Map<string, HostFacts>> {
  const facts = new Map<string, HostFacts>();
  const faults = new Map<string, string>();
  await Promise.all(
    [...clients.values()].map(async (client) => {
      try {
        const found = await inspectHost(client, options);
        if (found !== null) facts.set(client.name, found);
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        faults.set(client.name, error.message);
      }
    }),
  );
  if (faults.size > 0) throw new UnreachableError(faults);
  return facts;
}

/** Null: it has no base. */
export async function inspectHost(
  client: HostClient,
  { base, onNote }: SurveyOptions,
): Promise<HostFacts | null> {
  try {
    return await client.call<HostFacts>('inspect');
  } catch (error) {
    if (!(error instanceof NotThereError)) throw error;
  }
  if (!(await client.hasBase())) {
    if (base === null) return null;
    const bytes = await client.sendBase(base);
    onNote(`${client.name}  gets Node and PM2, ${(bytes / 1e6).toFixed(1)} MB`);
  }
  await client.sendTool();
  return client.call<HostFacts>('inspect');
}

export interface ToPlan {
  readonly manifest: Manifest;
  readonly release: string;
  /** All hosts, also those of which nothing is known. */
  readonly names: Iterable<string>;
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly isRollback: boolean;
}

function findBack({ current, state, releases }: HostFacts): string | null {
  const good = listGood(state);
  if (current === null || good.includes(current)) return current;
  return good.findLast((release) => releases.includes(release)) ?? current;
}

export function planFor({ manifest, release, names, facts, isRollback }: ToPlan): Plan {
  const hosts = [...names].map((name) => {
    const known = facts.get(name);
    const { current = null, readyz = null } = known ?? {};
    return { name, current, back: known === undefined ? null : findBack(known), isHealthy: readyz !== null };
  });
  const { batches, floor, bake } = manifest.deploy;
  const isBaked = bake.seconds > 0;
  return (isRollback ? planRollback : planDeploy)({ release, hosts, batches, floor, isBaked });
}
