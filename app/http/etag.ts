/** ETag, If-Match and If-None-Match: a link's version, as HTTP writes it (RFC 9110, sections 8.8.3 and 13.1). */

import type { IncomingHttpHeaders } from 'node:http';
import { invalid } from '../kernel/errors.ts';
import type { VersionCondition } from '../links/link-store.ts';

export function toEtag(version: number): string {
  return `"${version}"`;
}

/** `If-Match` compares strongly, so a weak tag matches nothing. Throws invalid for what is no list of tags. */
export function readIfMatch(header: string | undefined): VersionCondition {
  if (header === undefined) return null;
  if (header.trim() === '*') return 'existing';
  return readTags('If-Match', header)
    .map((tag) => /^"([1-9]\d{0,14})"$/.exec(tag)?.[1])
    .filter((version) => version !== undefined)
    .map(Number);
}

/** Whether the client has this version already; `If-None-Match` compares weakly. */
export function isNotModified(header: string | undefined, version: number): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return readTags('If-None-Match', header).some((tag) => tag.replace(/^W\//, '') === toEtag(version));
}

/** Whether a PUT may only create. `If-None-Match` can say nothing else of one, and nothing at all beside `If-Match`. */
export function isCreateOnly(headers: Pick<IncomingHttpHeaders, 'if-match' | 'if-none-match'>): boolean {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*' && ifMatch === undefined) return true;
  throw invalid([{ field: 'If-None-Match', message: 'expected * or nothing, and no If-Match beside it' }]);
}

const TAG = /^(?:W\/)?"[\x21\x23-\x7e]*"$/;

function readTags(name: string, header: string): string[] {
  const tags = header.split(',').map((tag) => tag.trim());
  if (tags.every((tag) => TAG.test(tag))) return tags;
  throw invalid([{ field: name, message: 'expected ETags such as "3", separated by commas, or *' }]);
}
