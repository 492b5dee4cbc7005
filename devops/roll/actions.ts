/** What each step of a plan does on its host. Every one may be done twice. */

import { createReadStream } from 'node:fs';
import type { Journal } from '../audit/journal.ts';
import type { Drained } from '../host/drain.ts';
import type { HostFacts } from '../host/inspect.ts';
import type { Counters, ToMeasure } from '../host/measure.ts';
import type { Rehearsal } from '../host/shadow.ts';
import type { Smoke } from '../host/smoke.ts';
import type { Proof } from '../host/switch.ts';
import type { Manifest } from '../manifest/schema.ts';
import type { Facts, Gate, Policies } from '../policy/decide.ts';
import { factsToBegin, factsToPromote, factsToSwitch } from '../policy/facts.ts';
import type { Archive } from '../release/archive.ts';
import type { Release, ReleaseIdentity } from '../release/build-release.ts';
import { type HostClient, HostFailure } from '../remote/host-client.ts';
import { followAgain } from './follow.ts';
import type { Action, Step } from './plan.ts';
import { type DeployRecord, readEvidence } from './record.ts';
import { isServing } from './serving.ts';
import { addOutside, judgeBake, NOTHING_OUTSIDE, type Seen } from './verdict.ts';

export interface ActionDeps {
  readonly deploy: string;
  readonly nonce: string;
  /** Who deploys. */
  readonly holder: string;
  /** The name of the environment. */
  readonly environment: string;
  readonly manifest: Manifest;
  /** What is rolled out. */
  readonly release: ReleaseIdentity & Partial<Pick<Release, 'modules' | 'app'>>;
  readonly isRollback: boolean;
  /** Whether every host of `deploy.staged_in` has committed it. */
  readonly ranInStaging: boolean;
  /** Somebody has said aloud that there need be no way back. */
  readonly isRollbackWaived: boolean;
  readonly policies: Pick<Policies, 'decide'>;
  readonly clients: ReadonlyMap<string, HostClient>;
  readonly wasFollowed: DeployRecord['wasFollowed'];
  /** Each host before this deploy. */
  readonly before: DeployRecord['before'];
  readonly journal: Pick<Journal, 'append' | 'entries'>;
  /** So many other hosts are ready while one is changed. */
  readonly floor: number;
  /** The variables of the service, with secrets. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Somebody who was just changed may need a moment, beside what the balancer needs. */
const FLOOR_WITHIN_MS = 15_000;
const ASK_AGAIN_MS = 200;
/** So many times as long as `deploy.bake.seconds`, where there is a doubt. */
const BAKES_MAX = 3;
/** Of a bake, until somebody looks at what there is. */
const PORTION_MS = 5000;
const MB = 1024 * 1024;

export function createActions(deps: ActionDeps): (step: Step) => Promise<unknown> {
  const { deploy, nonce, holder, manifest, release, clients, before, journal, floor, variables } = deps;
  const { policies, isRollbackWaived, wasFollowed } = deps;
  const reasonsBefore = (host: string): readonly string[] => before[host]?.reasons ?? [];

  /** Throws HostFailure `refused`, or `held` for a person to decide, with what the policies say. */
  function obey(client: HostClient, gate: Gate, facts: Facts, evidence: readonly string[] = []): void {
    const decision = policies.decide({ gate, person: holder, host: client.name, facts });
    journal.append({ type: 'decision', host: client.name, detail: decision });
    if (decision.isAllowed) return;
    const message = decision.refusals.map(({ policy, reason }) => `${reason} (policy ${policy})`).join(' ');
    throw new HostFailure(client.name, { code: decision.isHeld ? 'held' : 'refused', message, evidence });
  }

  async function preflight(client: HostClient): Promise<unknown> {
    const facts = await client.call<HostFacts>('inspect');
    const takenPorts = await client.call<readonly number[]>('ports', { variables });
    const nowMs = Date.now();
    obey(client, 'begin', factsToBegin({ ...deps, hosts: clients.size, host: facts, takenPorts, nowMs }));
    return {
      freeMb: Math.round(facts.freeBytes / MB),
      load: facts.load,
      glibc: facts.glibc,
      node: facts.node,
    };
  }

  async function rehearse(client: HostClient): Promise<unknown> {
    const current = before[client.name]?.current ?? null;
    // Who goes back wants to leave what runs now, which may be broken.
    const isNeeded = !deps.isRollback && current !== null && current !== release.id;
    const { rehearsed, isMigrationNeeded, noWayBack } = await client.call<Rehearsal>('rehearse', {
      host: client.name,
      release: release.id,
      before: isNeeded ? current : null,
      variables,
    });
    const rollback = { isNeeded, isReady: noWayBack === null, isWaived: isRollbackWaived };
    const evidence = noWayBack === null ? [] : [noWayBack.message, ...noWayBack.evidence];
    obey(client, 'switch', factsToSwitch({ ...deps, hosts: clients.size, rollback }), evidence);
    return { rehearsed, isMigrationNeeded };
  }

  /** Looks again where there is a doubt: more requests may tell. */
  async function bake(client: HostClient): Promise<unknown> {
    const { seconds, requests_min } = manifest.deploy.bake;
    // Its link is what our own requests follow.
    await client.call('smoke', {});
    const first = await client.call<Counters>('measure', toMeasure(0, 0));
    let seen: Seen = { first, now: first, outside: NOTHING_OUTSIDE };
    let baked = judgeBake(seen, manifest.deploy.bake);
    for (let time = 0; time < BAKES_MAX && baked.verdict === 'inconclusive'; time++) {
      for (let leftMs = seconds * 1000; leftMs > 0 && baked.verdict !== 'fail'; leftMs -= PORTION_MS) {
        const forMs = Math.min(leftMs, PORTION_MS);
        const asked = toMeasure(forMs, (requests_min * forMs) / (seconds * 1000));
        const now = await client.call<Counters>('measure', asked);
        if (now.pid !== first.pid) {
          const message = `The process ${first.pid} is gone, and ${now.pid} is in its place: it ended while it was looked at.`;
          throw new HostFailure(client.name, { code: 'unhealthy', message, evidence: [] });
        }
        seen = { first, now, outside: addOutside(seen.outside, now) };
        baked = judgeBake(seen, manifest.deploy.bake);
      }
    }
    obey(client, 'promote', factsToPromote({ ...deps, hosts: clients.size, baked }));
    return baked;
  }

  function toMeasure(forMs: number, requestsMin: number): ToMeasure {
    return { forMs, requestsMin, slowMs: manifest.deploy.bake.p99_ms };
  }

  async function upload(client: HostClient): Promise<unknown> {
    const { modules, app } = release;
    if (modules === undefined || app === undefined) throw new Error(`${release.id} is not here to be sent.`);
    const { layers } = await client.call<HostFacts>('inspect');
    let sentBytes = 0;
    for (const layer of [modules, app].filter(({ id }) => !layers.includes(id))) {
      await send(client, layer);
      sentBytes += layer.bytes;
    }
    await client.call('assemble', { id: release.id, app: app.id, modules: modules.id });
    return { sentBytes };
  }

  /** A host that serves nobody takes nothing away. Throws HostFailure `floor`. */
  async function requireFloor(client: HostClient, others: readonly string[]): Promise<void> {
    if (!(await isServing(client))) return;
    const deadlineMs = performance.now() + FLOOR_WITHIN_MS + manifest.deploy.balancer_seconds * 1000;
    for (;;) {
      const serving = await Promise.all(others.map((name) => isServing(clients.get(name) as HostClient)));
      const ready = others.filter((name, index) => serving[index] && isKnown(name)).length;
      if (ready >= floor) return;
      if (performance.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        continue;
      }
      const message = `Only ${ready} of the other hosts are ready, and deploy.floor wants ${floor}: ${client.name} is not touched.`;
      throw new HostFailure(client.name, { code: 'floor', message, evidence: [] });
    }
  }

  /** Whether a balancer has had the time to hear that it is back. */
  function isKnown(host: string): boolean {
    const back = journal
      .entries()
      .findLast(({ type, step }) => type === 'done' && step?.includes(`undrain ${host} `));
    return back === undefined || Date.now() - Date.parse(back.at) >= manifest.deploy.balancer_seconds * 1000;
  }

  /** Null where this step was begun before: it has started the service itself. */
  function restartsBefore(host: string, { id }: Step): number | null {
    const begun = journal.entries().filter(({ type, step }) => type === 'intent' && step === id).length;
    return begun > 1 ? null : (before[host]?.restarts ?? null);
  }

  const ACTIONS: Readonly<Record<Action, (client: HostClient, step: Step) => Promise<unknown>>> = {
    preflight,
    upload,
    rehearse,
    configure: (client) => client.call('configure', { deploy, variables }),
    restore: (client) => client.call('restore', { deploy }),
    remove: (client) => client.call('remove'),
    async migrate(client, step) {
      const { isMigrationNeeded } = readEvidence(journal.entries(), step.id.replace('migrate', 'rehearse'));
      // The rehearsal has seen that there is nothing to do.
      if (isMigrationNeeded === false) return { isMigrated: false };
      await client.call('migrate', { release: step.release });
      return { isMigrated: true };
    },
    async drain(client, step) {
      const { others = [] } = step;
      await requireFloor(client, others);
      try {
        return await client.call<Drained>('drain', { withinMs: manifest.deploy.drain_seconds * 1000 });
      } catch (error) {
        // What is left for being broken may be too broken for it.
        if (isUndo(step) && error instanceof HostFailure) return { isDrained: false, why: error.message };
        throw error;
      }
    },
    undrain: (client) => client.call('undrain', { reasonsBefore: reasonsBefore(client.name) }),
    switch(client, step) {
      // Of an undo: what the step did that it takes back.
      const done = readEvidence(journal.entries(), `switch ${client.name} ${release.id}`);
      const restartsKnown = (isUndo(step) ? done.restarts : restartsBefore(client.name, step)) ?? null;
      return client.call('switch', { deploy, release: step.release, nonce, restartsKnown });
    },
    prove: (client, step) =>
      client.call<Proof>('prove', {
        release: step.release,
        nonce,
        oldPid: readEvidence(journal.entries(), step.id.replace('prove', 'switch')).oldPid ?? null,
        reasonsBefore: reasonsBefore(client.name),
        stableMs: manifest.deploy.stable_seconds * 1000,
      }),
    bake,
    withdraw: (client, step) => client.call('withdraw', { deploy, to: step.backTo ?? null }),
    mark_bad: (client, step) =>
      client.call('bad', {
        release: step.release,
        reason: `${deps.isRollback ? 'rolled back from' : 'undone'} by ${holder} (${deploy})`,
      }),
    async smoke(client) {
      const smoked = await client.call<Smoke>('smoke', {});
      const { link } = smoked;
      const { name: host } = client;
      return { ...smoked, through: link === null ? null : await followAgain(link, { host, wasFollowed }) };
    },
    commit: (client, step) => client.call('commit', { release: step.release, deploy }),
    prune: (client) => client.call('prune'),
  };

  return async (step) => {
    const client = clients.get(step.host);
    if (client === undefined) throw new Error(`There is no host ${step.host}.`);
    return ACTIONS[step.action](client, step);
  };
}

function isUndo({ id }: Step): boolean {
  return id.startsWith('undo ');
}

function send(client: HostClient, { id, sha256, file }: Archive): Promise<void> {
  return client.call('receive', { id, sha256 }, createReadStream(file));
}
