/** The salts of visitors, one a day, kept while the day lasts. */

import type Database from 'better-sqlite3';
import type { Salts } from '../../clicks/visitor.ts';

const SALT_BYTES = 16;

/** Where a salt cannot be stored, as on a full disk, this process has one of its own for the day. */
export function createSaltTable(connection: Database.Database, randomBytes: (size: number) => Buffer): Salts {
  const find = connection.prepare<[number], string>('select salt from salts where day = ?').pluck();
  const insert = connection.prepare<[number, string]>(
    'insert into salts (day, salt) values (?, ?) on conflict (day) do nothing',
  );
  const forget = connection.prepare<[number]>('delete from salts where day < ?');

  return {
    saltOf(day) {
      const known = find.get(day);
      if (known !== undefined) return known;
      const salt = randomBytes(SALT_BYTES).toString('hex');
      try {
        insert.run(day, salt);
        forget.run(day);
        return find.get(day) ?? salt;
      } catch {
        // Busy or full: visitors of this process are told apart all the same.
        return salt;
      }
    },
  };
}
