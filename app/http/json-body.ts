/**
 * JSON as it came over the wire. `JSON.parse` keeps the last of two equal names and says nothing, so that a reviewer and a
 * server may read the same text differently (RFC 8259, section 4); here such a text is refused by name.
 */

import { AppError, type FieldFault, invalid } from '../kernel/errors.ts';

/** Nothing of ours nests deeper than a batch's links' tags. */
const DEPTH_MAX = 16;

/** Throws invalid: not UTF-8, not JSON, a name given twice, or nested too deep. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  const value = parse(text);
  const fault = findStructureFault(text);
  if (fault !== null) throw invalid([fault]);
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError('invalid', 'The body is not valid UTF-8.', { cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = (cause as SyntaxError).message.replace(/, "[\s\S]*$/, '').slice(0, 200);
    throw new AppError('invalid', `The body is not valid JSON. ${reason}`, { cause });
  }
}

/** Where the reader is: in the document itself, an object or an array. */
interface Level {
  readonly kind: '{' | '[';
  readonly parent: Level | null;
  readonly depth: number;
  readonly path: string;
  readonly names: Set<string>;
  /** In an object the last name, in an array the number of commas so far. */
  name: string;
  index: number;
}

/** A string with the colon that makes it a name, or one mark of structure. The text is known to be JSON. */
const TOKEN = /"((?:[^"\\]|\\.)*)"(\s*:)?|[{}[\],]/g;

/** One pass without recursion: a body cannot choose how deep our stack grows. */
function findStructureFault(text: string): FieldFault | null {
  let level = openLevel('{', null);
  for (const [token, content = '', colon] of text.matchAll(TOKEN)) {
    switch (colon ? ':' : token) {
      case ':':
        if (!isNewName(level, content)) return { field: pathOf(level), message: 'is given twice' };
        break;
      case '{':
      case '[':
        level = openLevel(token as '{' | '[', level);
        if (level.depth > DEPTH_MAX)
          return { field: level.path, message: `is nested more than ${DEPTH_MAX} deep` };
        break;
      case '}':
      case ']':
        level = level.parent as Level;
        break;
      case ',':
        level.index++;
        break;
    }
  }
  return null;
}

function isNewName(level: Level, escaped: string): boolean {
  level.name = JSON.parse(`"${escaped}"`) as string;
  const isNew = !level.names.has(level.name);
  level.names.add(level.name);
  return isNew;
}

function openLevel(kind: '{' | '[', parent: Level | null): Level {
  const path = parent === null ? '' : pathOf(parent);
  return { kind, parent, depth: (parent?.depth ?? -1) + 1, path, names: new Set(), name: '', index: 0 };
}

function pathOf({ kind, path, name, index }: Level): string {
  if (kind === '[') return `${path}[${index}]`;
  return path === '' ? name : `${path}.${name}`;
}
