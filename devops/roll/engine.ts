/**
 * Runs stages: the lanes of one side by side, so many at a time, its steps one after the other, each written down before and after. What
 * the journal says was done is not done again. The first failure ends its stage once the other lanes have come to the end of their step.
 */

import createLimit from 'p-limit';
import type { Journal } from '../audit/journal.ts';
import type { Stage, Step } from './plan.ts';

export interface EngineDeps {
  /** Lanes at the same time at most. */
  readonly parallel: number;
  readonly journal: Journal;
  /** What a step does; what it resolves with is its evidence. */
  readonly perform: (step: Step) => Promise<unknown>;
  readonly onEvent: (event: EngineEvent) => void;
  /** Somebody wants to end it: no further step begins. */
  readonly isInterrupted: () => boolean;
}

export type EngineEvent =
  | { readonly type: 'stage'; readonly name: string }
  | { readonly type: 'begun'; readonly step: Step }
  | { readonly type: 'done'; readonly step: Step; readonly evidence: unknown; readonly ms: number }
  | { readonly type: 'failed'; readonly step: Step; readonly error: Error; readonly ms: number };

export type Outcome =
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly failures: readonly StepFailure[] }
  | { readonly type: 'interrupted' };

export interface StepFailure {
  readonly step: Step;
  readonly error: Error;
}

export async function runStages(stages: readonly Stage[], deps: EngineDeps): Promise<Outcome> {
  const done = new Set(
    deps.journal.entries().flatMap(({ type, step }) => (type === 'done' && step !== undefined ? [step] : [])),
  );
  for (const { name, lanes } of stages) {
    const left = lanes
      .map((lane) => lane.filter(({ id }) => !done.has(id)))
      .filter((lane) => lane.length > 0);
    if (left.length === 0) continue;
    if (deps.isInterrupted()) return { type: 'interrupted' };
    deps.onEvent({ type: 'stage', name });
    const failures = await runLanes(left, deps);
    if (failures.length > 0) return { type: 'failed', failures };
  }
  return { type: 'done' };
}

async function runLanes(lanes: readonly (readonly Step[])[], deps: EngineDeps): Promise<StepFailure[]> {
  const failures: StepFailure[] = [];
  const limit = createLimit(deps.parallel);
  await limit.map(lanes, async (lane) => {
    for (const step of lane) {
      if (failures.length > 0) return;
      const failure = await runStep(step, deps);
      if (failure !== null) failures.push(failure);
    }
  });
  return failures;
}

/** Null: it is done. */
async function runStep(step: Step, { journal, perform, onEvent }: EngineDeps): Promise<StepFailure | null> {
  const startedAt = performance.now();
  const elapsed = (): number => Math.round(performance.now() - startedAt);
  journal.append({ type: 'intent', step: step.id, host: step.host });
  onEvent({ type: 'begun', step });
  try {
    const evidence = await perform(step);
    journal.append({ type: 'done', step: step.id, host: step.host, detail: { ms: elapsed(), evidence } });
    onEvent({ type: 'done', step, evidence, ms: elapsed() });
    return null;
  } catch (caught) {
    const error = caught as Error;
    journal.append({
      type: 'failed',
      step: step.id,
      host: step.host,
      detail: { ms: elapsed(), message: error.message },
    });
    onEvent({ type: 'failed', step, error, ms: elapsed() });
    return { step, error };
  }
}
