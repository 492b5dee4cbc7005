/** The salts of visitors, one a day for all processes, thrown away when the day is over. */

import type Database from 'better-sqlite3';
import type { Salts } from '../../clicks/visitor.ts';

const SALT_BYTES = 16;

export function makeSalt(randomBytes: (size: number) => Buffer): string {
  return randomBytes(SALT_BYTES).toString('hex');
}

/** Null: the salt of a day can be neither found nor stored just now. */
export type SaltReader = (day: number) => string | null;

export interface SaltTable {
  readonly readSalt: SaltReader;
  forgetBefore(day: number): void;
}

/** `makeSalt` null: salts come from elsewhere. */
export function createSaltTable(connection: Database.Database, makeSalt: (() => string) | null): SaltTable {
  const find = connection.prepare<[number], string>('select salt from salts where day = ?').pluck();
  const insert = connection.prepare<[number, string]>(
    'insert into salts (day, salt) values (?, ?) on conflict (day) do nothing',
  );
  const forget = connection.prepare<[number]>('delete from salts where day < ?');

  return {
    readSalt(day) {
      try {
        const known = find.get(day);
        if (known !== undefined) return known;
        if (makeSalt === null) return null;
        insert.run(day, makeSalt());
        forget.run(day);
        return find.get(day) as string;
      } catch {
        // Busy, full or broken. The clicks meet the same fault, and tell of it.
        return null;
      }
    },
    forgetBefore: (day) => void forget.run(day),
  };
}

/** Where there is no table, or it cannot be written to, this process has a salt of its own until it can. */
export function createSalts(
  readReader: () => SaltReader | null,
  randomBytes: (size: number) => Buffer,
): Salts {
  let own = { day: -1, salt: '' };
  return {
    saltOf(day) {
      const shared = readReader()?.(day) ?? null;
      if (shared !== null) return { salt: shared, isShared: true };
      if (own.day !== day) own = { day, salt: makeSalt(randomBytes) };
      return { salt: own.salt, isShared: false };
    },
  };
}
