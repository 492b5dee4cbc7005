/** What a deploy would find and change on a host, for people who look before. */

import { GENERATED } from '../host/environment.ts';
import type { Decision } from '../policy/decide.ts';

export interface HostCheck {
  readonly host: string;
  readonly changes: readonly VariableChange[];
  /** What the policies would say. */
  readonly decision: Decision;
}

export interface VariableChange {
  readonly name: string;
  /** Null: it is not there. A secret is shown as dots. */
  readonly from: string | null;
  readonly to: string | null;
}

export interface VariablesToCompare {
  /** As they are on the host, and as they would be. */
  readonly now: Readonly<Record<string, string>>;
  readonly next: Readonly<Record<string, string>>;
  readonly secrets: ReadonlySet<string>;
}

const DOTS = '•••';

/** By name. */
export function diffVariables({ now, next, secrets }: VariablesToCompare): VariableChange[] {
  const names = [...new Set([...Object.keys(now), ...Object.keys(next)])].sort();
  // What the host makes itself stays, where nobody says otherwise.
  const isKept = (name: string): boolean => GENERATED.has(name) && next[name] === undefined;
  const show = (name: string, value: string | undefined): string | null => {
    if (value === undefined) return null;
    return secrets.has(name) || GENERATED.has(name) ? DOTS : value;
  };
  return names
    .filter((name) => now[name] !== next[name] && !isKept(name))
    .map((name) => ({ name, from: show(name, now[name]), to: show(name, next[name]) }));
}
