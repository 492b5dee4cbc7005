/**
 * Asks the policies (policies/*.cedar) whether a deploy may go on. They stand outside of the tool: it collects facts, asks, obeys, and
 * says what they say. Whatever is amiss with a policy or a fact is a refusal, since Cedar skips a policy that it cannot evaluate.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs';

/** Where in a deploy is asked; policies/facts.cedarschema says what is known there. */
export type Gate = 'begin' | 'switch' | 'promote';

export interface Question {
  readonly gate: Gate;
  /** Who deploys. */
  readonly person: string;
  readonly host: string;
  readonly facts: Facts;
}

export type Facts = { readonly [name: string]: boolean | number | string | Facts };

export interface Decision {
  readonly gate: Gate;
  readonly host: string;
  readonly isAllowed: boolean;
  /** Whether everything stays as it is then, for a person to decide: all that refuse say so with `@then("hold")`. */
  readonly isHeld: boolean;
  /** Each with the policy that says it. */
  readonly refusals: readonly Refusal[];
  readonly facts: Facts;
}

export interface Refusal {
  readonly policy: string;
  readonly reason: string;
}

export interface Policies {
  /** Their names. */
  readonly names: readonly string[];
  decide(question: Question): Decision;
}

export class PolicyError extends Error {
  override name = 'PolicyError';
}

/** A policy is a file, and its name is that of the file. Rejects with PolicyError with every fault of all of them. */
export async function loadPolicies(folder: string): Promise<Policies> {
  // 13 MB of WebAssembly: only who asks it waits for it, and may begin other things before.
  const cedar = await import('@cedar-policy/cedar-wasm/nodejs');
  const texts = Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.endsWith('.cedar'))
      .sort()
      .map((name) => [basename(name, '.cedar'), readFileSync(join(folder, name), 'utf8')]),
  );
  const schema = readFileSync(join(folder, 'facts.cedarschema'), 'utf8');
  validate(cedar, texts, schema);
  // Read once: reading them takes as long as all questions of a deploy. Cedar keeps them by name.
  cedar.preparsePolicySet(folder, { staticPolicies: texts });
  cedar.preparseSchema(folder, schema);
  const annotations = new Map(
    Object.entries(texts).map(([name, text]) => [name, readAnnotations(cedar, text)]),
  );
  const refusal = (policy: string, facts: Facts): Refusal => ({
    policy,
    reason: fill(annotations.get(policy)?.reason ?? `${policy} forbids it.`, facts),
  });

  return {
    names: Object.keys(texts),
    decide({ gate, person, host, facts }) {
      const answer = cedar.statefulIsAuthorized({
        principal: { type: 'Person', id: person },
        action: { type: 'Action', id: gate },
        resource: { type: 'Host', id: host },
        context: facts as Cedar.Context,
        preparsedSchemaName: folder,
        preparsedPolicySetId: folder,
        validateRequest: true,
        entities: [],
      });
      if (answer.type === 'failure') {
        const message = answer.errors.map((error) => error.message).join('; ');
        throw new PolicyError(`The facts for ${gate} cannot be judged: ${message}`);
      }
      const { decision, diagnostics } = answer.response;
      const faults = diagnostics.errors.map(({ policyId, error }) => ({
        policy: policyId,
        reason: `${policyId} cannot be evaluated: ${error.message}`,
      }));
      const isAllowed = decision === 'allow' && faults.length === 0;
      const forbidding = decision === 'allow' ? [] : diagnostics.reason;
      const refusals = [...forbidding.map((policy) => refusal(policy, facts)), ...faults];
      const isHeld =
        refusals.length > 0 && refusals.every(({ policy }) => annotations.get(policy)?.then === 'hold');
      return { gate, host, isAllowed, isHeld, refusals, facts };
    },
  };
}

function validate(cedar: typeof Cedar, staticPolicies: Record<string, string>, schema: string): void {
  const answer = cedar.validate({
    schema,
    policies: { staticPolicies },
    validationSettings: { mode: 'strict' },
  });
  const faults =
    answer.type === 'failure'
      ? answer.errors.map(({ message, help }) => `  ${message}${help === null ? '' : ` (${help})`}`)
      : answer.validationErrors.map(({ policyId, error }) => `  ${policyId}: ${error.message}`);
  if (faults.length > 0) throw new PolicyError(`The policies cannot be used:\n${faults.join('\n')}`);
}

/** `@reason` and `@then`, where a policy has them. */
function readAnnotations(
  cedar: typeof Cedar,
  text: string,
): { readonly [name: string]: string | null | undefined } {
  const parsed = cedar.policyToJson(text);
  return parsed.type === 'success' ? (parsed.json.annotations ?? {}) : {};
}

/** `{host.free_mb}` becomes the fact. */
function fill(reason: string, facts: Facts): string {
  return reason.replace(/\{([\w.]+)\}/g, (name, path: string) => {
    let value: Facts[string] | undefined = facts;
    for (const part of path.split('.')) value = typeof value === 'object' ? value[part] : undefined;
    return value === undefined || typeof value === 'object' ? name : String(value);
  });
}
