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
 * Up and then down, so that `ß` meets `SS`; and one sigma, because which of its two small forms a capital one becomes
 * depends on the letters around it, and a search has other letters around it than the text.
 */
export function foldCase(text: string): string {
  return text.normalize('NFC').toUpperCase().toLowerCase().replaceAll('ς', 'σ');
}
