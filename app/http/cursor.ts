/**
 * Cursors of collections: opaque to clients, and bound to the question they belong to, so that the cursor of one list
 * cannot be mistaken for a place in another.
 */

import { z } from 'zod';
import { invalid } from '../kernel/errors.ts';
import type { PagePosition } from '../links/link-store.ts';

const cursorShape = z.tuple([z.string(), z.union([z.string().max(100), z.int()]), z.int().min(0)]);

/** `question` is the same for all pages of one list, and different for different ones. */
export function encodeCursor(question: string, { value, id }: PagePosition): string {
  return Buffer.from(JSON.stringify([question, value, id])).toString('base64url');
}

/** Throws invalid for a cursor that is malformed or belongs to another question. */
export function decodeCursor(question: string, cursor: string | undefined): PagePosition | null {
  if (cursor === undefined) return null;
  const result = cursorShape.safeParse(parse(cursor));
  if (!result.success || result.data[0] !== question) {
    const message =
      'does not belong to this request; use next_cursor of the page before with the same parameters';
    throw invalid([{ field: 'cursor', message }]);
  }
  const [, value, id] = result.data;
  return { value, id };
}

/** Undefined for what is no JSON: the shape refuses it. */
function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
}
