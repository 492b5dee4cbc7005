/** The same for programs: a line of JSON for each thing that is told, with the time, and nothing else. */

import { HostFailure } from '../remote/host-client.ts';
import type { StepFailure } from '../roll/engine.ts';
import type { Reporter } from './reporter.ts';

export interface JsonReporterOptions {
  readonly write: (text: string) => void;
  readonly nowMs: () => number;
}

export function createJsonReporter({ write, nowMs }: JsonReporterOptions): Reporter {
  const say = (type: string, rest: object = {}): void =>
    write(`${JSON.stringify({ at: new Date(nowMs()).toISOString(), type, ...rest })}\n`);
  return {
    note: (text) => say('note', { text }),
    preparing(what) {
      if (what !== null) say('preparing', { what });
    },
    plan: (plan) => say('plan', { plan }),
    checked: (_, hosts) => say('checked', { hosts }),
    event(event) {
      if (event.type === 'stage') return say('stage', { name: event.name });
      const { id, action, host, release } = event.step;
      const step = { id, action, host, release };
      if (event.type === 'begun') return say('begun', { step });
      if (event.type === 'done') return say('done', { step, ms: event.ms, evidence: event.evidence });
      return say('failed', { step, ms: event.ms, ...describe(event.error) });
    },
    refused: (sentence) => say('refused', { sentence }),
    failed: (failures) => say('failures', { failures: failures.map(toFailure) }),
    untouched: () => say('untouched'),
    undone: (hosts, isFailed) => say('undone', { hosts, because: isFailed ? 'it failed' : 'it was wanted' }),
    held: () => say('held'),
    mixed: () => say('mixed'),
    untidy: () => say('untidy'),
    interrupted: () => say('interrupted'),
    recap: ({ hosts, release }) => say('recap', { release, hosts }),
    tick: () => undefined,
  };
}

function toFailure({ step, error }: StepFailure): object {
  return { step: step.id, host: step.host, ...describe(error) };
}

function describe(error: Error): object {
  const { message } = error;
  return error instanceof HostFailure ? { code: error.code, message, evidence: error.evidence } : { message };
}
