/**
 * What a deploy does, as data: stages one after the other, in each stage lanes side by side, in each lane steps one after the other. The
 * same value is printed by `--check`, run by the engine, and written to the journal.
 *
 *   lock ─▶ preflight ─▶ upload ─▶ rehearse ─▶ batch by batch: configure · migrate · switch · prove ─▶ commit ─▶ prune
 */

export type Action =
  | 'preflight'
  | 'upload'
  | 'rehearse'
  | 'configure'
  | 'restore'
  | 'remove'
  | 'migrate'
  | 'switch'
  | 'prove'
  | 'mark_bad'
  | 'smoke'
  | 'commit'
  | 'prune';

export interface Step {
  /** Unique in the plan: `switch h1`. */
  readonly id: string;
  readonly action: Action;
  readonly host: string;
  /** What it brings the host to. */
  readonly release: string;
}

export interface Stage {
  readonly name: string;
  readonly lanes: readonly (readonly Step[])[];
}

export interface Plan {
  readonly release: string;
  readonly hosts: readonly PlannedHost[];
  readonly stages: readonly Stage[];
}

export interface PlannedHost {
  readonly name: string;
  /** Null: nothing runs there yet. */
  readonly from: string | null;
  readonly to: string;
  /** Counted from 1. */
  readonly batch: number;
}

export interface HostNow {
  readonly name: string;
  readonly current: string | null;
  readonly isHealthy: boolean;
}

export interface PlanOptions {
  readonly release: string;
  readonly hosts: readonly HostNow[];
  readonly batches: readonly (number | string)[];
}

/** Hosts that are broken come first: they cannot become worse, and the only healthy one is not touched before them. */
export function planDeploy({ release, hosts, batches }: PlanOptions): Plan {
  const ordered = [...hosts].sort((one, other) => Number(one.isHealthy) - Number(other.isHealthy));
  const groups = divide(ordered, batches);
  const planned = groups.flatMap((group, index) =>
    group.map(({ name, current }): PlannedHost => ({ name, from: current, to: release, batch: index + 1 })),
  );
  const each = (action: Action, ...more: Action[]): Step[][] =>
    ordered.map(({ name }) => [action, ...more].map((one) => stepOf(one, name, release)));
  return {
    release,
    hosts: planned,
    stages: [
      { name: 'preflight', lanes: each('preflight') },
      { name: 'upload', lanes: each('upload') },
      { name: 'rehearse', lanes: each('rehearse') },
      ...groups.map((group, index) => ({
        name: `batch ${index + 1} of ${groups.length}`,
        lanes: group.map(({ name }) => TAKE_OVER.map((action) => stepOf(action, name, release))),
      })),
      { name: 'smoke', lanes: each('smoke') },
      { name: 'commit', lanes: each('commit') },
      { name: 'prune', lanes: each('prune') },
    ],
  };
}

/** Back to a release that hosts have: nothing is sent and nothing migrated. What is left is marked, so that nobody comes back to it. */
export function planRollback({ release, hosts, batches }: PlanOptions): Plan {
  const plan = planDeploy({ release, hosts, batches });
  const isNeeded = ({ action }: Step): boolean =>
    action !== 'upload' && action !== 'migrate' && action !== 'configure';
  const marks = plan.hosts.flatMap(({ name, from }) =>
    from === null || from === release ? [] : [[stepOf('mark_bad', name, from)]],
  );
  const stages = plan.stages
    .map(({ name, lanes }) => ({ name, lanes: lanes.map((lane) => lane.filter(isNeeded)) }))
    .filter(({ lanes }) => lanes.some((lane) => lane.length > 0));
  return { ...plan, stages: [...stages, { name: 'mark what was left', lanes: marks }] };
}

/** What changes a host. */
const TAKE_OVER: readonly Action[] = ['configure', 'migrate', 'switch', 'prove'];

export interface UndoOptions {
  /** The release that failed. */
  readonly release: string;
  /** Those that were touched, the last one first, with what they go back to; null: nothing ran there. */
  readonly hosts: readonly { readonly name: string; readonly to: string | null }[];
}

/** The same steps the other way, one host after the other. Data is never brought back: what runs now has read it before. */
export function planUndo({ release, hosts }: UndoOptions): Stage[] {
  return hosts.map(({ name, to }) => ({
    name: `undo ${name}`,
    lanes: [[...goBack(name, to), stepOf('mark_bad', name, release)]],
  }));
}

function goBack(host: string, to: string | null): Step[] {
  if (to === null) return [stepOf('remove', host, '')];
  return (['restore', 'switch', 'prove'] as const).map((action) => stepOf(action, host, to));
}

function stepOf(action: Action, host: string, release: string): Step {
  return { id: `${action} ${host} ${release}`, action, host, release };
}

/** `[1, '50%', '100%']` of ten hosts: 1, then 4 up to the fifth, then the rest. */
export function divide<T>(hosts: readonly T[], batches: readonly (number | string)[]): T[][] {
  const groups: T[][] = [];
  let done = 0;
  for (const batch of [...batches, '100%']) {
    const end =
      typeof batch === 'number' ? done + batch : Math.ceil((hosts.length * Number.parseInt(batch, 10)) / 100);
    const group = hosts.slice(done, Math.min(end, hosts.length));
    if (group.length === 0) continue;
    groups.push(group);
    done += group.length;
  }
  return groups;
}
