// `npm run status -- --env staging`: what each host runs and how it does, what the policies would say, and who is deploying. Asks, and
// changes nothing but our own program on the host, which answers. `--watch` asks again every two seconds and shows what came in between.
import type { HostFacts } from '../devops/host/inspect.ts';
import type { Figures } from '../devops/host/measure.ts';
import { loadPolicies } from '../devops/policy/decide.ts';
import { factsToBegin } from '../devops/policy/facts.ts';
import { identify } from '../devops/release/build-release.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { ratesOf } from '../devops/roll/rates.ts';
import { type Interrupted, listOpenSteps } from '../devops/roll/record.ts';
import { inspectHost } from '../devops/roll/survey.ts';
import { readArguments } from './arguments.ts';
import { journalsOf, POLICIES } from './deploy-places.ts';
import { findUnlessDamaged, knownVariables, PERSON, withEnvironment } from './environment.ts';

const WATCH_EVERY_MS = 2000;
const CLEAR = '\x1b[H\x1b[2J';

const given = readArguments('npm run status -- --env NAME [--watch] [--json]', {
  env: { type: 'string' },
  json: { type: 'boolean', default: false },
  watch: { type: 'boolean', default: false },
});
const { values } = given;
interface Row {
  readonly host: string;
  readonly release: string;
  readonly health: string;
  readonly up: string;
  /** By reloads and otherwise. */
  readonly starts: number | null;
  readonly requests: number | null;
  /** Of the requests; since the process began, or since the last look. */
  readonly errors: string;
  readonly p99: string;
  readonly disk: string;
  readonly load: string;
  /** Those that would refuse a deploy. */
  readonly policy: string;
  /** What is not as on the other hosts. */
  readonly drift: string;
  readonly lease: string;
}

const NOTHING: Row = {
  host: '',
  release: '–',
  health: '–',
  up: '–',
  starts: null,
  requests: null,
  errors: '–',
  p99: '–',
  disk: '–',
  load: '–',
  policy: '–',
  drift: '–',
  lease: '–',
};

await withEnvironment(given.environment(), {}, async ({ name: environment, manifest, clients }) => {
  const policies = await loadPolicies(POLICIES);
  const variables = knownVariables(manifest);
  /** What each host said last. */
  const before = new Map<string, Figures>();

  async function readRow(client: HostClient): Promise<Row> {
    try {
      const facts = await inspectHost(client, { base: null, onNote: () => undefined });
      if (facts === null) return { ...NOTHING, host: client.name, health: 'never deployed to' };
      const takenPorts = await client.call<number[]>('ports', { variables });
      const figures = isOther(facts) ? null : await client.call<Figures | null>('figures');
      const row = {
        ...toRow(client.name, facts),
        ...(figures !== null && describeRates(figures, before.get(client.name) ?? null)),
      };
      if (figures !== null) before.set(client.name, figures);
      return { ...row, policy: judge(client.name, facts, takenPorts) };
    } catch (error) {
      return { ...NOTHING, host: client.name, health: (error as Error).message };
    }
  }

  /** Of what it runs, were it deployed now. */
  function judge(host: string, facts: HostFacts, takenPorts: readonly number[]): string {
    const id = facts.current ?? 'nothing';
    const { refusals } = policies.decide({
      gate: 'begin',
      person: PERSON,
      host,
      facts: factsToBegin({
        environment,
        manifest,
        hosts: clients.size,
        host: facts,
        takenPorts,
        release: identify(id, facts),
        isRollback: false,
        ranInStaging: true,
        variables,
        nowMs: Date.now(),
      }),
    });
    return refusals.length === 0 ? 'ok' : refusals.map(({ policy }) => policy).join(', ');
  }

  for (;;) {
    const rows = markDrift(await Promise.all([...clients.values()].map(readRow)));
    const interrupted = describeInterrupted(findUnlessDamaged(journalsOf(environment), console.error));
    if (values.watch && process.stdout.isTTY) process.stdout.write(CLEAR);
    if (values.json) console.log(JSON.stringify({ hosts: rows, interrupted }, null, 2));
    else show(rows, interrupted);
    if (!values.watch) return rows.every(({ health }) => health === 'ready') ? EXIT.done : EXIT.failed;
    await new Promise((resolve) => setTimeout(resolve, WATCH_EVERY_MS));
  }
});

/** Whether somebody else answers where the service would. */
function isOther({ readyz, service }: HostFacts): boolean {
  return readyz !== null && readyz.pid !== service?.pid;
}

function describeHealth(facts: HostFacts): string {
  const { readyz, service } = facts;
  if (readyz === null) return service === null ? 'does not run' : 'does not answer';
  if (isOther(facts)) return `does not run; process ${readyz.pid}, which is not ours, answers in its place`;
  return readyz.reasons.length === 0 ? readyz.status : `${readyz.status} (${readyz.reasons.join(', ')})`;
}

function toRow(host: string, facts: HostFacts): Row {
  const { service, readyz, lease } = facts;
  return {
    ...NOTHING,
    host,
    release: facts.current ?? 'nothing',
    health: describeHealth(facts),
    up: service === null ? '–' : describeDuration(facts.nowMs - service.startedAtMs),
    starts: service === null ? null : service.restarts + 1,
    disk: `${(facts.freeBytes / 1e9).toFixed(1)} GB free`,
    load: facts.load.toFixed(2),
    drift: readyz !== null && facts.current !== readyz.release ? `serves ${readyz.release}` : 'none',
    lease: lease === null ? 'free' : `${lease.holder}: ${lease.doing}`,
  };
}

function describeRates(now: Figures, before: Figures | null): Pick<Row, 'requests' | 'errors' | 'p99'> {
  const { requests, errorShare, p99Ms } = ratesOf(now, before);
  return {
    requests,
    errors: errorShare === null ? '–' : `${(errorShare * 100).toFixed(2)} %`,
    p99: describeMs(p99Ms),
  };
}

/** An edge of the histogram, of which the last one is open. */
function describeMs(ms: number | null): string {
  if (ms === null) return '–';
  return ms === Number.MAX_SAFE_INTEGER ? '> 10 s' : `≤ ${ms} ms`;
}

/** A host that runs another release than most. */
function markDrift(rows: readonly Row[]): Row[] {
  const counts = new Map<string, number>();
  for (const { release } of rows) counts.set(release, (counts.get(release) ?? 0) + 1);
  const usual = [...counts].sort((one, other) => other[1] - one[1])[0]?.[0];
  return rows.map((row) =>
    row.release === usual || row.drift !== 'none' ? row : { ...row, drift: `most run ${usual}` },
  );
}

function describeDuration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}

/** Null: the last deploy from this machine came to its end. */
function describeInterrupted(interrupted: Interrupted | null) {
  if (interrupted === null) return null;
  const { record, entries } = interrupted;
  return {
    deploy: record.deploy,
    by: record.holder,
    release: record.plan.release,
    at: entries.at(-1)?.at ?? null,
    isGoingBack: entries.some(({ type }) => type === 'undo'),
    done: entries.flatMap(({ type, step }) => (type === 'done' && step !== undefined ? [step] : [])),
    open: listOpenSteps(entries),
  };
}

function show(rows: readonly Row[], interrupted: ReturnType<typeof describeInterrupted>): void {
  const names = Object.keys(rows[0] ?? {}) as (keyof Row)[];
  const text = (value: Row[keyof Row]): string => String(value ?? '–');
  const widths = names.map((name) => Math.max(name.length, ...rows.map((row) => text(row[name]).length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd();
  console.log(line(names));
  for (const row of rows) console.log(line(names.map((name) => text(row[name]))));
  if (interrupted === null) return;
  const { deploy, by, release, at, open } = interrupted;
  const during = open.length === 0 ? 'between two steps' : `during ${open.join(', ')}`;
  console.log(`
Deploy ${deploy} of ${by} to ${release} was interrupted ${during}, at ${at}, or is still at work.
Go on: npm run deploy -- --env ${values.env} --resume, or back: --abort`);
}
