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

export function foldCase(text: string): string {
  return text.normalize('NFC').toLowerCase();
}
