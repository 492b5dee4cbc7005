/**
 * JSON as it came over the wire. `JSON.parse` keeps the last of two equal names and says nothing, so that a reviewer and a
 * server may read the same text differently (RFC 8259, section 4); here such a text is refused by name.
 */

import { AppError, type FieldFault, invalid } from '../kernel/errors.ts';

/** Nothing of ours nests deeper than a batch's links' tags. */
const DEPTH_MAX = 16;
/**
 * Brackets, braces, commas and colons. A batch of 1,000 links with 20 tags each has 37,000; 5 MB of nothing else would
 * keep every other request waiting for half a second.
 */
const MARKS_MAX = 60_000;

/** Throws invalid: not UTF-8, not JSON, a name given twice, nested too deep or of too many parts. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  const marks = readMarks(text);
  const value = parse(text);
  const fault = findStructureFault(marks);
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

interface Mark {
  readonly kind: string;
  /** Of a colon: the name before it, in its quotes. */
  readonly name: string;
}

/** The marks of structure of a text that may be no JSON. */
function readMarks(text: string): readonly Mark[] {
  const marks: Mark[] = [];
  let name = '';
  for (let at = 0; at < text.length; at++) {
    const kind = text.charAt(at);
    switch (kind) {
      case '"': {
        const end = findStringEnd(text, at);
        name = text.slice(at, end);
        at = end - 1;
        break;
      }
      case '{':
      case '}':
      case '[':
      case ']':
      case ',':
      case ':':
        if (marks.push({ kind, name }) > MARKS_MAX) throw new AppError('invalid', TOO_MANY_MARKS);
    }
  }
  return marks;
}

const TOO_MANY_MARKS = `The body has more than ${MARKS_MAX} brackets, braces, commas and colons. Send it in parts.`;

/** After its closing quote, the first with an even number of backslashes before it; otherwise the end of the text. */
function findStringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let first = at;
    while (text.charAt(first - 1) === '\\') first--;
    if ((at - first) % 2 === 0) return at + 1;
  }
  return text.length;
}

/** The marks are of JSON. No recursion: a body cannot choose how deep our stack grows. */
function findStructureFault(marks: readonly Mark[]): FieldFault | null {
  let level = openLevel('{', null);
  for (const { kind, name } of marks) {
    switch (kind) {
      case ':':
        if (!isNewName(level, name)) return { field: pathOf(level), message: 'is given twice' };
        break;
      case '{':
      case '[':
        level = openLevel(kind, level);
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

function isNewName(level: Level, quoted: string): boolean {
  level.name = JSON.parse(quoted) as string;
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
