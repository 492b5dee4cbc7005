/** What is wrong with a file, by what it was met with: damage stays, other trouble passes or is in another place. */

import Database from 'better-sqlite3';
import { AppError, StartError } from '../../kernel/errors.ts';
import { identify, type OpenDatabase } from './open-database.ts';

/** What is in the file is no database any more, or not a whole one. */
export function isDamage(error: unknown): boolean {
  const cause = driverErrorOf(error);
  return cause instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code);
}

/** What passes by itself, while the file stays open and readable: a full disk, or another process that writes. */
export function isPassing(error: unknown): boolean {
  const cause = driverErrorOf(error);
  return !(cause instanceof Database.SqliteError) || /^SQLITE_(FULL|BUSY)/.test(cause.code);
}

/** As those throw it who translate it. */
export function driverErrorOf(error: unknown): unknown {
  return error instanceof StartError || error instanceof AppError ? error.cause : error;
}

/** Whether the file is the one that was opened, also when it was overwritten. */
export function isInPlace(database: OpenDatabase): boolean {
  try {
    database.requireInPlace();
    return true;
  } catch (error) {
    return isDamage(error);
  }
}

/** Opens a file. One that is `useless` is put away, and what is there then is opened. */
export async function openOrPutAway<T>(
  path: string,
  {
    open,
    isUseless,
    putAway,
  }: { open: () => Promise<T>; isUseless: (error: unknown) => boolean; putAway: (error: unknown) => void },
): Promise<T> {
  const found = identify(path);
  try {
    return await open();
  } catch (error) {
    // What another process has put there meanwhile is tried next time.
    if (!isUseless(error) || identify(path) !== found) throw error;
    putAway(error);
    return open();
  }
}
