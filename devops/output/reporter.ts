/** What a deploy shows of itself: to people as lines with the time since its beginning, to programs as JSON. */

import { styleText } from 'node:util';
import type { Entry } from '../audit/journal.ts';
import { HostFailure } from '../remote/host-client.ts';
import type { HostCheck, VariableChange } from '../roll/check.ts';
import type { EngineEvent, StepFailure } from '../roll/engine.ts';
import type { Followed } from '../roll/follow.ts';
import type { Plan, PlannedHost, Step } from '../roll/plan.ts';
import { recordOf } from '../roll/record.ts';

export interface Reporter {
  note(text: string): void;
  /** Before there are steps: what takes its time now; null: that is over. */
  preparing(what: string | null): void;
  plan(plan: Plan): void;
  /** What would be done, and is not. */
  checked(plan: Plan, checks: readonly HostCheck[]): void;
  event(event: EngineEvent): void;
  refused(sentence: string): void;
  failed(failures: readonly StepFailure[]): void;
  /** It failed before anything was switched. */
  untouched(): void;
  /** `isFailed`: because it failed, not because somebody wanted it. */
  undone(hosts: readonly { readonly name: string; readonly to: string | null }[], isFailed: boolean): void;
  /** To go on or back would breach the floor, or nobody knows which of both is right. */
  held(): void;
  mixed(): void;
  /** It is live on every host, and something that comes after that failed. */
  untidy(): void;
  interrupted(): void;
  recap(plan: Plan, entries: readonly Entry[]): void;
  /** Called now and then: who waits is shown what for. */
  tick(): void;
}

export interface TextReporterOptions {
  readonly write: (text: string) => void;
  readonly nowMs: () => number;
  readonly environment: string;
  /** Whether what is under way is shown in a last line that is written anew; else a line says so after 20 s of silence. */
  readonly isLive?: boolean;
  /** Whether marks have colours. */
  readonly isColored?: boolean;
}

/** Of a host that has no base: there is nothing that would answer. */
export const NOT_ASKED =
  'was never deployed to: what policies want to know of it is asked once the deploy has brought it Node';

const SILENT_MS = 20_000;
const CLEAR_LINE = '\r\x1b[K';
const COLORS = { '✓': 'green', '✗': 'red', '↺': 'yellow' } as const;

function paint(text: string): string {
  return text.replace(/[✓✗↺]/g, (mark) =>
    styleText(COLORS[mark as keyof typeof COLORS], mark, { validateStream: false }),
  );
}

export function createTextReporter({
  write: print,
  nowMs,
  environment,
  isLive = false,
  isColored = false,
}: TextReporterOptions): Reporter {
  const startedAtMs = nowMs();
  /** What is under way, and since when. */
  const running = new Map<string, { readonly step: Step; readonly sinceMs: number }>();
  let prepared: { readonly what: string; readonly sinceMs: number } | null = null;
  let isLineShown = false;
  let saidAtMs = startedAtMs;
  const write = (text: string): void => {
    print(`${isLineShown ? CLEAR_LINE : ''}${isColored ? paint(text) : text}`);
    isLineShown = false;
    saidAtMs = nowMs();
  };
  const now = (): string => {
    const seconds = Math.floor((nowMs() - startedAtMs) / 1000);
    return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
  };
  const say = (text: string): void => write(`${now()}  ${text}\n`);
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const describeRunning = (): string =>
    [
      ...(prepared === null ? [] : [prepared]),
      ...[...running.values()].map(({ step, sinceMs }) => ({ what: `${step.host} ${step.action}`, sinceMs })),
    ]
      .map(({ what, sinceMs }) => `${what} ${Math.round((nowMs() - sinceMs) / 1000)} s`)
      .join(', ');

  return {
    note: say,
    preparing(what) {
      prepared = what === null ? null : { what, sinceMs: nowMs() };
      if (what !== null) say(what);
    },
    plan({ hosts, release, floor }) {
      const width = Math.max(4, ...hosts.map(({ name }) => name.length));
      write(`\n${'host'.padEnd(width)}  batch  now → next\n`);
      for (const { name, from, batch } of hosts) {
        write(`${name.padEnd(width)}  ${String(batch).padStart(5)}  ${from ?? 'nothing'} → ${release}\n`);
      }
      if (hosts.length > 1) write(`Never fewer than ${floor} of ${hosts.length} are ready.\n`);
      write('\n');
    },
    checked({ hosts, stages }, checks) {
      for (const line of checks.flatMap(describeCheck)) write(`${line}\n`);
      for (const { name } of hosts)
        if (!checks.some(({ host }) => host === name)) write(`? ${name}  ${NOT_ASKED}\n`);
      write('\n');
      for (const { name, lanes } of stages) {
        write(`${name}\n`);
        for (const lane of lanes)
          write(`  ${lane[0]?.host}: ${lane.map(({ action }) => action).join(' → ')}\n`);
      }
      write('\nNothing was changed.\n');
    },
    tick() {
      if (running.size === 0 && prepared === null) return;
      if (isLive) {
        print(`${isLineShown ? CLEAR_LINE : ''}${now()}  … ${describeRunning()}`);
        isLineShown = true;
      } else if (nowMs() - saidAtMs >= SILENT_MS) say(`  … ${describeRunning()}`);
    },
    event(event) {
      if (event.type === 'done' || event.type === 'failed') running.delete(event.step.id);
      switch (event.type) {
        case 'stage':
          return say(event.name);
        case 'begun':
          running.set(event.step.id, { step: event.step, sinceMs: nowMs() });
          return;
        case 'done':
          return say(
            `  ✓ ${event.step.host}  ${event.step.action}  ${seconds(event.ms)}${describe(event.evidence)}`,
          );
        case 'failed':
          return say(
            `  ✗ ${event.step.host}  ${event.step.action}  ${seconds(event.ms)}  ${event.error.message}`,
          );
      }
    },
    refused: (sentence) => write(`\nRefused. ${sentence}\nNothing was changed.\n`),
    failed(failures) {
      for (const { step, error } of failures) {
        write(`\n✗ ${step.action} on ${step.host} failed: ${error.message}\n`);
        const evidence = error instanceof HostFailure ? error.evidence : [];
        for (const line of evidence) write(`    ${line}\n`);
      }
      write('\n');
    },
    untouched: () => write('No host was switched: each runs what it ran before.\n'),
    undone(hosts, isFailed) {
      for (const { name, to } of hosts) write(`↺ ${name} is back at ${to ?? 'nothing'}\n`);
      write(isFailed ? 'The deploy failed and was undone.\n' : 'The deploy was taken back.\n');
    },
    held: () =>
      write(
        `It holds: every host stays as it is. Go on once that is mended: npm run deploy -- --env ${environment} --resume, or back: --abort\n`,
      ),
    mixed: () =>
      write(
        `Not every host could be brought back. See: npm run status -- --env ${environment}, and go on: npm run deploy -- --env ${environment} --resume\n`,
      ),
    untidy: () => write('That is left undone; the release is live on every host all the same.\n'),
    interrupted: () =>
      write(
        `\nInterrupted between two steps. Go on: npm run deploy -- --env ${environment} --resume, or back: --abort\n`,
      ),
    recap({ hosts, release }, entries) {
      write('\n');
      for (const host of hosts) write(`${describeHost(host, entries)}  ✓\n`);
      write('\n');
      const link = hosts.map(({ name }) => doneOf(entries, `smoke ${name} ${release}`)?.evidence?.link)[0];
      const { deploy, holder, isRollback } = recordOf(entries) ?? {};
      const isAnythingBefore = hosts.some(({ from }) => from !== null && from !== release);
      const rows: readonly (readonly [name: string, text: unknown])[] = [
        ['serves', link],
        ['release', release],
        ['by', holder],
        ['audit', `npm run audit -- --env ${environment}  (${deploy})`],
        [
          'rollback',
          isAnythingBefore && isRollback !== true ? `npm run rollback -- --env ${environment}` : null,
        ],
      ];
      for (const [name, text] of rows) if (typeof text === 'string') write(`${name.padEnd(8)}  ${text}\n`);
    },
  };
}

interface Done {
  readonly ms: number;
  readonly evidence: Record<string, unknown> | null;
}

function doneOf(entries: readonly Entry[], step: string): Done | undefined {
  return entries.findLast((entry) => entry.type === 'done' && entry.step === step)?.detail as
    | Done
    | undefined;
}

/** The evidence that it is well, in a line. */
function describeHost({ name, from, to }: PlannedHost, entries: readonly Entry[]): string {
  const of = (action: string): Done | undefined => doneOf(entries, `${action} ${name} ${to}`);
  const { oldPid, pid, readyMs } = of('prove')?.evidence ?? {};
  const drain = of('drain');
  const baked = of('bake')?.evidence;
  return [
    name,
    `${from ?? 'nothing'} → ${to}`,
    ...(drain?.evidence?.isDrained === true ? [`drain ${(drain.ms / 1000).toFixed(1)} s`] : []),
    `pid ${oldPid ?? '–'} → ${pid}`,
    `ready ${readyMs} ms`,
    ...(baked ? [`${baked.errors} of ${baked.requests} requests failed`] : []),
  ].join('  ');
}

function describeCheck({ host, changes, decision }: HostCheck): string[] {
  const refusals = decision.refusals.map(
    ({ policy, reason }) => `✗ ${host}  refused: ${reason} (policy ${policy})`,
  );
  const verdict = decision.isAllowed ? [`✓ ${host}  no policy forbids it`] : refusals;
  return [...verdict, ...changes.map((change) => `  ${host}  ${describeChange(change)}`)];
}

function describeChange({ name, from, to }: VariableChange): string {
  if (from === null) return `+ ${name}=${to}`;
  return to === null ? `- ${name}` : `~ ${name}  ${from} → ${to}`;
}

function describeDrain(isDrained: boolean, quietMs: unknown): string {
  if (!isDrained) return '  nothing answers there';
  return typeof quietMs === 'number' ? `  last request after ${quietMs} ms` : '  requests come still';
}

/** The figures of a step that people look at. */
function describe(evidence: unknown): string {
  if (evidence === null || typeof evidence !== 'object') return '';
  const { sentBytes, freeMb, readyMs, isDrained, quietMs } = evidence as Record<string, unknown>;
  if (typeof isDrained === 'boolean') return describeDrain(isDrained, quietMs);
  if (typeof sentBytes === 'number')
    return sentBytes === 0 ? '  nothing to send' : `  ${(sentBytes / 1e6).toFixed(1)} MB sent`;
  if (typeof freeMb === 'number') return `  ${freeMb} MB free`;
  if (typeof readyMs === 'number') return `  ready after ${readyMs} ms`;
  const { verdict, requests, synthetic, errors, slow } = evidence as Record<string, unknown>;
  if (typeof verdict === 'string')
    return `  ${requests} requests (${synthetic} our own), ${errors} failed, ${slow} slow`;
  const { link, through } = evidence as { link?: string | null; through?: Followed | null };
  if (typeof link === 'string') {
    return through ? `  ${link} followed in ${through.ms} ms` : `  ${link} cannot be followed from here`;
  }
  const { rehearsed, isMigrated } = evidence as Record<string, unknown>;
  if (isMigrated === false) return '  nothing to migrate';
  if (Array.isArray(rehearsed)) {
    return (rehearsed as { release: string; readyMs: number }[])
      .map((one) => `  ${one.release} ready after ${one.readyMs} ms`)
      .join(',');
  }
  return '';
}
