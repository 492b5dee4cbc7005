/** What the proofs of clicks share: links to follow, rows by key, and the ledger of a process as /metrics tells it. */

import { queryClicks } from './clicks.ts';
import { ask } from './service.ts';

export interface MadeLinks {
  readonly keys: readonly string[];
  readonly keyOf: ReadonlyMap<number, string>;
}

export async function makeLinks(url: string, count: number): Promise<MadeLinks> {
  const links = Array.from({ length: count }, (_, n) => ({
    url: `https://example.com/${n}`,
    key: `key-${n}`,
  }));
  const { status, body } = await ask('POST', `${url}/api/v1/links:batch`, { body: { links } });
  if (status !== 201) throw new Error(`The links were not made: ${JSON.stringify(body)}`);
  const { items } = body as { items: { id: number; key: string }[] };
  return { keys: links.map(({ key }) => key), keyOf: new Map(items.map(({ id, key }) => [id, key])) };
}

/** Rows by key, of those with an id above `afterId`. */
export function countRows(dataDir: string, { keyOf }: MadeLinks, afterId = 0): Map<string, number> {
  const rows = queryClicks(
    dataDir,
    `select link_id, count(*) as clicks from clicks where id > ${afterId} group by link_id`,
  ) as { link_id: number; clicks: number }[];
  return new Map(rows.map(({ link_id, clicks }) => [keyOf.get(link_id) ?? `id ${link_id}`, clicks]));
}

export function readLastId(dataDir: string): number {
  const [row] = queryClicks(dataDir, 'select coalesce(max(id), 0) as id from clicks') as { id: number }[];
  return Number(row?.id);
}

export interface Ledger {
  readonly served: number;
  readonly counted: number;
  readonly excluded: number;
  readonly pending: number;
  readonly dropped: number;
  readonly drift: number;
}

/** Throws when it does not balance. */
export async function readLedger(managementUrl: string): Promise<Ledger> {
  const text = String((await ask('GET', `${managementUrl}/metrics`)).body);
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^fleetlink_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))]
      .map(([, value]) => Number(value))
      .reduce((one, other) => one + other, 0);
  const ledger = {
    served: sum('clicks_served_total'),
    counted: sum('clicks_counted_total'),
    excluded: sum('clicks_excluded_total'),
    pending: sum('clicks_pending'),
    dropped: sum('clicks_dropped_total'),
    drift: sum('ledger_drift'),
  };
  const { served, counted, excluded, pending, dropped } = ledger;
  if (served !== counted + excluded + pending + dropped) {
    throw new Error(`The ledger does not balance: ${JSON.stringify(ledger)}`);
  }
  return ledger;
}

export function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((one, other) => one + other, 0);
}

/** Keys whose rows are fewer than their answers, or more than answers and requests that were cut off. */
export function findWrong(
  rows: ReadonlyMap<string, number>,
  answered: ReadonlyMap<string, number>,
  inFlight: ReadonlyMap<string, number> = new Map(),
): string[] {
  const keys = new Set([...rows.keys(), ...answered.keys()]);
  return [...keys].flatMap((key) => {
    const [stored, least] = [rows.get(key) ?? 0, answered.get(key) ?? 0];
    const most = least + (inFlight.get(key) ?? 0);
    return stored >= least && stored <= most ? [] : [`${key}: ${stored} rows, ${least} to ${most} expected`];
  });
}
