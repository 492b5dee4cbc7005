/** What deploys did, from their journals, as Markdown: who, when, what, what the policies said, and what went wrong. */

import { recordOf } from '../roll/record.ts';
import type { Entry } from './journal.ts';

export interface Decided {
  readonly gate: string;
  readonly host: string;
  readonly isAllowed: boolean;
  readonly refusals: readonly { readonly policy: string; readonly reason: string }[];
}

/** One deploy, the oldest line first. */
export function reportDeploy(entries: readonly Entry[]): string {
  const record = recordOf(entries);
  if (record === null) return '';
  const { deploy, holder, plan, environment } = record;
  const first = entries[0] as Entry;
  const decisions = entries.flatMap(({ type, detail }) => (type === 'decision' ? [detail as Decided] : []));
  const violations = decisions.filter(({ isAllowed }) => !isAllowed);
  return `## ${deploy}: ${plan.release} to ${environment}

${holder}, begun ${first.at}, ${describeEnd(entries)}.

| host | from | to | batch |
|---|---|---|---|
${plan.hosts.map(({ name, from, batch }) => `| ${name} | ${from ?? 'nothing'} | ${plan.release} | ${batch} |`).join('\n')}

Policies were asked ${count(decisions.length, 'time')}, with ${count(violations.length, 'refusal')}${violations.length === 0 ? '.' : ':'}
${violations.map(describeViolation).join('\n')}
| time | host | step | took | |
|---|---|---|---|---|
${entries.flatMap(toLine).join('\n')}
`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function describeEnd(entries: readonly Entry[]): string {
  const ended = entries.find(({ type }) => type === 'ended');
  if (ended === undefined) return 'not ended';
  const { code } = ended.detail as { code: number };
  const way = entries.some(({ type }) => type === 'undo') ? 'taken back, ' : '';
  return `${way}ended ${ended.at} with ${code}`;
}

function describeViolation({ host, gate, refusals }: Decided): string {
  return refusals.map(({ policy, reason }) => `- ${host}, before ${gate}: ${reason} (${policy})\n`).join('');
}

function toLine({ at, type, step, host = '', detail }: Entry): string[] {
  const time = at.slice(11, 23);
  const { ms, message } = (detail ?? {}) as { ms?: number; message?: string };
  const took = ms === undefined ? '' : `${ms} ms`;
  switch (type) {
    case 'done':
      return [`| ${time} | ${host} | ${step} | ${took} | ✓ |`];
    case 'failed':
      return [`| ${time} | ${host} | ${step} | ${took} | ✗ ${(message ?? '').replaceAll('|', '\\|')} |`];
    case 'resumed':
    case 'undo':
      return [`| ${time} | | ${type === 'undo' ? 'the way back' : 'gone on with'} | | |`];
    default:
      return [];
  }
}
