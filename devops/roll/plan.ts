/**
 * What a deploy does, as data: stages one after the other, in each stage lanes side by side, in each lane steps one after the other. The
 * same value is printed by `--check`, run by the engine, and written to the journal.
 *
 *   lock ─▶ preflight ─▶ upload ─▶ rehearse ─▶ batch by batch: configure · migrate · drain · switch · prove · undrain · bake ─▶ commit ─▶ prune
 */

export type Action =
  | 'preflight'
  | 'upload'
  | 'rehearse'
  | 'configure'
  | 'restore'
  | 'remove'
  | 'migrate'
  | 'drain'
  | 'undrain'
  | 'switch'
  | 'prove'
  | 'bake'
  | 'withdraw'
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
  /** Of a withdrawal: what runs again. */
  readonly backTo?: string;
  /** Of a drain: the hosts that have to be ready meanwhile, as many of them as `floor`. */
  readonly others?: readonly string[];
}

export interface Stage {
  readonly name: string;
  readonly lanes: readonly (readonly Step[])[];
}

export interface Plan {
  readonly release: string;
  readonly hosts: readonly PlannedHost[];
  /** So many hosts are ready all the time, or no further one is touched. */
  readonly floor: number;
  readonly stages: readonly Stage[];
}

export interface PlannedHost {
  readonly name: string;
  /** Null: nothing runs there yet. */
  readonly from: string | null;
  readonly to: string;
  /** Where an undo brings it: what runs, or what was committed last where that never was. */
  readonly back: string | null;
  /** Counted from 1. */
  readonly batch: number;
}

export interface HostNow {
  readonly name: string;
  readonly current: string | null;
  readonly back: string | null;
  readonly isHealthy: boolean;
}

export interface PlanOptions {
  readonly release: string;
  readonly hosts: readonly HostNow[];
  readonly batches: readonly (number | string)[];
  readonly floor: number | string;
  /** Whether what the new release does is looked at before the next host takes it. */
  readonly isBaked: boolean;
}

/** Hosts that are broken come first: they cannot become worse, and the only healthy one is not touched before them. */
export function planDeploy({ release, hosts, batches, floor: asked, isBaked }: PlanOptions): Plan {
  const ordered = [...hosts].sort((one, other) => Number(one.isHealthy) - Number(other.isHealthy));
  const floor = countFloor(hosts.length, asked);
  const names = ordered.map(({ name }) => name);
  const groups = divide(ordered, batches, { sizeMax: Math.max(1, hosts.length - floor) });
  const planned = groups.flatMap((group, index) =>
    group.map(
      ({ name, current, back }): PlannedHost => ({
        name,
        from: current,
        to: release,
        back,
        batch: index + 1,
      }),
    ),
  );
  const each = (action: Action, ...more: Action[]): Step[][] =>
    ordered.map(({ name }) => [action, ...more].map((one) => stepOf(one, name, release)));
  return {
    release,
    hosts: planned,
    floor,
    stages: [
      { name: 'preflight', lanes: each('preflight') },
      { name: 'upload', lanes: each('upload') },
      { name: 'rehearse', lanes: each('rehearse') },
      ...groups.map((group, index) => ({
        name: `batch ${index + 1} of ${groups.length}`,
        lanes: group.map(({ name }) => [
          ...(['configure', 'migrate'] as const).map((action) => stepOf(action, name, release)),
          ...takeOver(name, { release, others: without(names, group) }),
          ...(isBaked ? [stepOf('bake', name, release)] : []),
        ]),
      })),
      { name: 'smoke', lanes: each('smoke') },
      { name: 'commit', lanes: each('commit') },
      { name: 'prune', lanes: each('prune') },
    ],
  };
}

/** Back to a release that hosts have: nothing is sent and nothing migrated. What is left is marked, so that nobody comes back to it. */
export function planRollback(options: PlanOptions): Plan {
  const { release } = options;
  // It was committed before: that it took over is enough.
  const plan = planDeploy({ ...options, isBaked: false });
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

/** Drained only where others are there for whoever comes meanwhile. */
function takeOver(
  host: string,
  { release, others }: { readonly release: string; readonly others: readonly string[] },
): Step[] {
  const steps = (['switch', 'prove'] as const).map((action) => stepOf(action, host, release));
  if (others.length === 0) return steps;
  return [{ ...stepOf('drain', host, release), others }, ...steps, stepOf('undrain', host, release)];
}

function without(names: readonly string[], group: readonly HostNow[]): string[] {
  return names.filter((name) => !group.some((host) => host.name === name));
}

/** As a number, with one at a time always possible. */
export function countFloor(hosts: number, floor: number | string): number {
  const count = typeof floor === 'number' ? floor : Math.floor((hosts * Number.parseInt(floor, 10)) / 100);
  return Math.min(count, hosts - 1);
}

/** The same without the other hosts. */
export function keepHosts(plan: Plan, names: readonly string[]): Plan {
  const isKept = (name: string): boolean => names.includes(name);
  const ofStep = (step: Step): Step =>
    step.others === undefined ? step : { ...step, others: step.others.filter(isKept) };
  const stages = plan.stages.map(({ name, lanes }) => ({
    name,
    lanes: lanes.map((lane) => lane.filter(({ host }) => isKept(host)).map(ofStep)),
  }));
  return { ...plan, stages, hosts: plan.hosts.filter(({ name }) => isKept(name)) };
}

export interface UndoOptions {
  /** All hosts of the environment. */
  readonly names: readonly string[];
  /** The release that is left. */
  readonly release: string;
  /** It failed: nobody comes back to it. */
  readonly isBad: boolean;
  /** Those that were touched, the last one first. */
  readonly hosts: readonly TouchedHost[];
}

export interface TouchedHost {
  readonly name: string;
  /** What it goes back to; null: nothing ran there. */
  readonly to: string | null;
  /** False: it was only made ready for it. */
  readonly isSwitched: boolean;
  readonly isDrained: boolean;
}

/** The same steps the other way, one host after the other. Data is never brought back: what runs now has read it before. */
export function planUndo({ release, isBad, names, hosts }: UndoOptions): Stage[] {
  return hosts.map(({ name, to, isSwitched, isDrained }) => {
    const others = names.filter((one) => one !== name);
    const way = isSwitched ? goBack(name, { to, others }) : leave(name, { to, isDrained });
    const steps = [
      ...way,
      // The same release with other variables was well before.
      ...(to === release
        ? []
        : [{ ...stepOf('withdraw', name, release), ...(to !== null && { backTo: to }) }]),
      ...(isBad && to !== release ? [stepOf('mark_bad', name, release)] : []),
    ];
    return { name: `undo ${name}`, lanes: [steps.map((step) => ({ ...step, id: `undo ${step.id}` }))] };
  });
}

function goBack(
  host: string,
  { to, others }: { readonly to: string | null; readonly others: readonly string[] },
): Step[] {
  if (to === null) return [stepOf('remove', host, '')];
  return [stepOf('restore', host, to), ...takeOver(host, { release: to, others })];
}

/** One that still runs what it ran. */
function leave(
  host: string,
  { to, isDrained }: { readonly to: string | null; readonly isDrained: boolean },
): Step[] {
  if (to === null) return [];
  return [stepOf('restore', host, to), ...(isDrained ? [stepOf('undrain', host, to)] : [])];
}

function stepOf(action: Action, host: string, release: string): Step {
  return { id: `${action} ${host} ${release}`, action, host, release };
}

/** `[1, '50%', '100%']` of ten hosts: 1, then 4 up to the fifth, then the rest; none larger than `sizeMax`. */
export function divide<T>(
  hosts: readonly T[],
  batches: readonly (number | string)[],
  { sizeMax = Number.POSITIVE_INFINITY } = {},
): T[][] {
  const groups: T[][] = [];
  let done = 0;
  for (const batch of [...batches, '100%']) {
    const end =
      typeof batch === 'number' ? done + batch : Math.ceil((hosts.length * Number.parseInt(batch, 10)) / 100);
    while (done < Math.min(end, hosts.length)) {
      const group = hosts.slice(done, Math.min(end, done + sizeMax));
      groups.push(group);
      done += group.length;
    }
  }
  return groups;
}
