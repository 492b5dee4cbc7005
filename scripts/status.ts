// `npm run status -- --env staging`: what each host runs, how it is, and who is deploying. Asks, and changes nothing but our own program
// on the host, which answers.
import { parseArgs } from 'node:util';
import type { HostFacts } from '../devops/host/inspect.ts';
import { connect } from '../devops/inventory/connect.ts';
import { ManifestError, readManifest } from '../devops/manifest/read-manifest.ts';
import { buildTool } from '../devops/release/tool.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { findInterrupted, type Interrupted, listOpenSteps } from '../devops/roll/record.ts';
import { CACHE, ENVIRONMENTS, HOST_PROGRAM, journalsOf } from './deploy-places.ts';

const EXIT = { unwell: 1, usage: 64 };

const { values } = parseArgs({
  options: { env: { type: 'string' }, json: { type: 'boolean', default: false } },
});
try {
  const manifest = readManifest(ENVIRONMENTS, values.env ?? '');
  const tool = await buildTool(CACHE, HOST_PROGRAM);
  const { clients, close } = connect({ manifest, tool, variables: process.env });
  const rows = await Promise.all([...clients.values()].map(readRow));
  await close();
  const interrupted = describeInterrupted(findInterrupted(journalsOf(values.env ?? '')));
  if (values.json) console.log(JSON.stringify({ hosts: rows, interrupted }, null, 2));
  else show(rows, interrupted);
  if (rows.some(({ health }) => health !== 'ready')) process.exitCode = EXIT.unwell;
} catch (error) {
  if (!(error instanceof ManifestError)) throw error;
  console.error(error.message);
  process.exitCode = EXIT.usage;
}

interface Row {
  readonly host: string;
  readonly release: string;
  readonly health: string;
  readonly pid: number | null;
  readonly up: string;
  /** By reloads and otherwise. */
  readonly starts: number | null;
  readonly disk: string;
  readonly load: string;
  readonly lease: string;
}

async function readRow(client: HostClient): Promise<Row> {
  const nothing = { release: '–', pid: null, up: '–', starts: null, disk: '–', load: '–', lease: '–' };
  try {
    if (!(await client.hasBase())) return { host: client.name, health: 'not provisioned', ...nothing };
    await client.sendTool();
    return toRow(client.name, await client.call<HostFacts>('inspect'));
  } catch (error) {
    return { host: client.name, health: (error as Error).message, ...nothing };
  }
}

function toRow(host: string, facts: HostFacts): Row {
  const { service, readyz, lease } = facts;
  const reasons = readyz === null || readyz.reasons.length === 0 ? '' : ` (${readyz.reasons.join(', ')})`;
  return {
    host,
    release: facts.current ?? 'nothing',
    health: readyz === null ? 'does not answer' : `${readyz.status}${reasons}`,
    pid: service?.pid ?? null,
    up: service === null ? '–' : describeDuration(facts.nowMs - service.startedAtMs),
    starts: service === null ? null : service.restarts + 1,
    disk: `${(facts.freeBytes / 1e9).toFixed(1)} GB free`,
    load: facts.load.toFixed(2),
    lease: lease === null ? 'free' : `${lease.holder}: ${lease.doing}`,
  };
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
