// From rates per round to what can be said of them: the median of the ratios within each round, with their spread.

/** Answers per second of each contender in one round. */
export type Round = Readonly<Record<string, number>>;

export type Row = Readonly<Record<string, string | number>>;

/** One row a name: answers per second in the median, and its ratios to each of `bases`. */
export function compare(
  rounds: readonly Round[],
  names: readonly string[],
  bases: readonly string[] = ['bare', 'express'],
): Row[] {
  return names.map((name) => ({
    contender: name,
    'per second': Math.round(median(rounds.map((round) => rateOf(round, name)))),
    ...Object.fromEntries(bases.map((base) => [`x ${base}`, describeRatios(rounds, name, base)])),
  }));
}

function describeRatios(rounds: readonly Round[], name: string, base: string): string {
  const ratios = rounds.map((round) => rateOf(round, name) / rateOf(round, base));
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
}

function rateOf(round: Round, name: string): number {
  const rate = round[name];
  if (rate === undefined) throw new Error(`The round has no rate of ${name}.`);
  return rate;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
