/** Clicks as CSV (RFC 4180), page by page, so that a million of them need no more memory than one page. */

import { toRfc3339 } from '../kernel/clock.ts';
import type { ClickLog, ClickPageQuery, LoggedClick } from './click-log.ts';

const COLUMNS = ['at', 'reason', 'referrer', 'country', 'browser', 'os', 'device', 'language'] as const;
/** About 16 KB: what a socket takes at once. */
const PAGE = 200;

export type CsvQuery = Pick<ClickPageQuery, 'linkId' | 'fromMs' | 'toMs'>;

/** Oldest first. Each piece is some whole lines. */
export async function* exportClicks(log: ClickLog, query: CsvQuery): AsyncGenerator<string> {
  let lines = toLine(COLUMNS);
  let after: LoggedClick | null = null;
  for (;;) {
    const page: LoggedClick[] = await log.listClicks({ ...query, order: 'oldest', limit: PAGE, after });
    yield lines + page.map(toRow).join('');
    lines = '';
    after = page.at(-1) ?? null;
    if (page.length < PAGE) return;
  }
}

function toRow({ atMs, ...click }: LoggedClick): string {
  return toLine(COLUMNS.map((column) => (column === 'at' ? toRfc3339(atMs) : (click[column] ?? ''))));
}

function toLine(cells: readonly string[]): string {
  return `${cells.map(toCell).join(',')}\r\n`;
}

/**
 * A spreadsheet runs what begins like a formula, also behind what another one takes for the end of a cell; and a User-Agent
 * header is whatever a client writes (https://owasp.org/www-community/attacks/CSV_Injection).
 */
export function toCell(text: string): string {
  const plain = text.replace(FORMULA, "$1'$2");
  return /[",;\t\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

const FORMULA = /(^|[,;|\t\r\n])(["'\s]*[=+\-@\t\r\n])/g;
