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
  /** Somebody wants to end it: no further host is begun. */
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
    const left = lanes.map((lane) => leftOf(lane, done)).filter((lane) => lane.length > 0);
    if (left.length === 0) continue;
    if (deps.isInterrupted()) return { type: 'interrupted' };
    deps.onEvent({ type: 'stage', name });
    const { failures, isInterrupted } = await runLanes(left, deps);
    if (failures.length > 0) return { type: 'failed', failures };
    if (isInterrupted) return { type: 'interrupted' };
  }
  return { type: 'done' };
}

/** A drain ends by itself after a while, so one that nothing came of is done once more. */
function leftOf(lane: readonly Step[], done: ReadonlySet<string>): Step[] {
  const isSwitched = lane.every(({ id, action }) => action !== 'switch' || done.has(id));
  return lane.filter(({ id, action }) => !done.has(id) || (action === 'drain' && !isSwitched));
}

interface LanesOutcome {
  readonly failures: readonly StepFailure[];
  readonly isInterrupted: boolean;
}

/** Who interrupts gets hosts that are whole: what was begun on one is finished, but for a long look at it. */
async function runLanes(lanes: readonly (readonly Step[])[], deps: EngineDeps): Promise<LanesOutcome> {
  const failures: StepFailure[] = [];
  let isInterrupted = false;
  const limit = createLimit(deps.parallel);
  await limit.map(lanes, async (lane) => {
    for (const [index, step] of lane.entries()) {
      if (failures.length > 0) return;
      if ((index === 0 || step.action === 'bake') && deps.isInterrupted()) {
        isInterrupted = true;
        return;
      }
      const failure = await runStep(step, deps);
      if (failure !== null) failures.push(failure);
    }
  });
  return { failures, isInterrupted };
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
