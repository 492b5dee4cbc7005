/**
 * Which counts a series is added up from. Clicks are counted by quarters of an hour; a quarter that lies in two buckets, or
 * only partly in the range, has to be read click by click.
 *
 *   edges      10:07                     11:00                     12:00        12:20
 *   quarters     │╳╳│──────────────────────│─────────────────────────│─────│╳╳╳╳╳│╳╳
 *              split     run of hours ────────────────────────────────▶      split
 */

export const QUARTER_MS = 15 * 60 * 1000;

/**
 * Whole quarters from `fromQuarter` to before `toQuarter`. Counts may be added up in cells of `width` quarters, the first from
 * `fromQuarter` on: no cell has an edge inside.
 */
export interface Run {
  readonly fromQuarter: number;
  readonly toQuarter: number;
  readonly width: number;
}

export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ReadingPlan {
  /** Where buckets begin and the last one ends, within the range. */
  readonly edges: readonly number[];
  readonly runs: readonly Run[];
  /** Parts of quarters, to be read click by click. */
  readonly splits: readonly TimeRange[];
}

/** `width`: quarters that most buckets are multiples of; it only saves work. */
export function planReading(edges: readonly number[], width: number): ReadingPlan {
  const runs: { fromQuarter: number; toQuarter: number; width: number }[] = [];
  const splits: { fromMs: number; toMs: number }[] = [];
  for (let index = 0; index + 1 < edges.length; index++) {
    const fromMs = edges[index] as number;
    const toMs = edges[index + 1] as number;
    const fromQuarter = Math.ceil(fromMs / QUARTER_MS);
    const toQuarter = Math.floor(toMs / QUARTER_MS);
    if (fromQuarter > toQuarter) {
      addSplit(splits, fromMs, toMs);
      continue;
    }
    addSplit(splits, fromMs, fromQuarter * QUARTER_MS);
    addRun(runs, { fromQuarter, toQuarter, width });
    addSplit(splits, toQuarter * QUARTER_MS, toMs);
  }
  return { edges, runs, splits };
}

/** One that goes on where the last one ends, in step with it, makes that one longer. */
function addRun(runs: { fromQuarter: number; toQuarter: number; width: number }[], run: Run): void {
  if (run.fromQuarter === run.toQuarter) return;
  const last = runs.at(-1);
  const isInStep = last !== undefined && (run.fromQuarter - last.fromQuarter) % run.width === 0;
  if (isInStep && last.toQuarter === run.fromQuarter) last.toQuarter = run.toQuarter;
  else runs.push({ ...run });
}

function addSplit(splits: { fromMs: number; toMs: number }[], fromMs: number, toMs: number): void {
  if (fromMs === toMs) return;
  const last = splits.at(-1);
  if (last?.toMs === fromMs) last.toMs = toMs;
  else splits.push({ fromMs, toMs });
}

/** The nearest edges that need no single clicks: outwards at both ends, so that nothing asked for is left out. */
export function roundEdges(edges: readonly number[]): number[] {
  return edges.map((atMs, index) => {
    const round = index === edges.length - 1 ? Math.ceil : Math.floor;
    return round(atMs / QUARTER_MS) * QUARTER_MS;
  });
}

/** Nothing is counted from `nowMs` on, so an edge that comes later splits nothing. */
export function moveEdgesBehindNow(edges: readonly number[], nowMs: number): number[] {
  return edges.map((atMs) => (atMs < nowMs ? atMs : Math.ceil(atMs / QUARTER_MS) * QUARTER_MS));
}
