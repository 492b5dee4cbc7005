/**
 * The redirect's one statement: prepared once, on the read-only connection. It sees every commit, also those of another
 * process, without asking anybody.
 */

import type Database from 'better-sqlite3';
import {
  type LinkStatus,
  PRIMARY_DOMAIN,
  type RedirectFacts,
  type RedirectStatus,
} from '../../links/link.ts';
import { translateSqliteError } from './dialect.ts';

interface Row {
  id: number;
  url: string;
  status: string;
  redirect_status: number;
  expires_at_ms: number | null;
}

export function createRedirectLookup(connection: Database.Database): (key: string) => RedirectFacts | null {
  const statement = connection.prepare<[string], Row>(
    `select id, url, status, redirect_status, expires_at_ms from links
     where domain = '${PRIMARY_DOMAIN}' and key = ? and released = 0`,
  );
  return (key) => {
    const row = getRow(statement, key);
    if (row === undefined) return null;
    return {
      id: row.id,
      url: row.url,
      status: row.status as LinkStatus,
      redirectStatus: row.redirect_status as RedirectStatus,
      expiresAtMs: row.expires_at_ms,
    };
  };
}

function getRow(statement: Database.Statement<[string], Row>, key: string): Row | undefined {
  try {
    return statement.get(key);
  } catch (error) {
    throw translateSqliteError(error);
  }
}
