/**
 * The redirect's one statement, prepared once, on the read-only connection.
 *
 * All lookups of one turn of the event loop read one snapshot: taking SQLite's read lock and giving it back costs more than
 * the lookup itself (measured: 4 system calls, 60 % of it). The next turn sees what another process committed; a commit of
 * this process ends the snapshot itself, so that whoever was told of it reads it at once.
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
  max_clicks: number | null;
  max_clicks_seq: number;
}

export interface RedirectLookup {
  lookup(key: string): RedirectFacts | null;
  endSnapshot(): void;
}

export function createRedirectLookup(connection: Database.Database): RedirectLookup {
  const statement = connection.prepare<[string], Row>(
    `select id, url, status, redirect_status, expires_at_ms, max_clicks, max_clicks_seq from links
     where domain = '${PRIMARY_DOMAIN}' and key = ? and released = 0`,
  );
  const begin = connection.prepare('begin');
  // After a failed read a commit fails too, and would leave the snapshot open; a rollback ends it whatever happened.
  const end = connection.prepare('rollback');

  function endSnapshot(): void {
    if (connection.inTransaction) end.run();
  }

  function read(key: string): Row | undefined {
    try {
      if (!connection.inTransaction) {
        begin.run();
        setImmediate(endSnapshot);
      }
      return statement.get(key);
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  return {
    endSnapshot,
    lookup(key) {
      const row = read(key);
      if (row === undefined) return null;
      return {
        id: row.id,
        url: row.url,
        status: row.status as LinkStatus,
        redirectStatus: row.redirect_status as RedirectStatus,
        expiresAtMs: row.expires_at_ms,
        maxClicks: row.max_clicks,
        maxClicksSeq: row.max_clicks_seq,
      };
    },
  };
}
