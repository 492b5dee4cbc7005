/**
 * The redirect's one statement, prepared once, on the read-only connection; and before it the links that were followed lately.
 *
 * All lookups of one turn of the event loop read one snapshot: taking SQLite's read lock and giving it back costs more than
 * the lookup itself (measured: 4 system calls, 60 % of it). The next turn sees what another process committed; a commit of
 * this process ends the snapshot itself, so that whoever was told of it reads it at once.
 *
 * What is remembered is never older than the snapshot: `data_version` says that somebody committed, and the events since then
 * say which keys changed. Keys that no link has are not remembered: finding none costs a twentieth of the answer to it, and
 * strangers who guess keys would push out links.
 */

import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import type { LookupFigures } from '../../health/lookup-metric.ts';
import {
  type LinkStatus,
  PRIMARY_DOMAIN,
  type RedirectFacts,
  type RedirectStatus,
} from '../../links/link.ts';
import { translateSqliteError } from './dialect.ts';

type Row = [
  key: string,
  id: number,
  url: string,
  status: LinkStatus,
  redirectStatus: RedirectStatus,
  expiresAtMs: number | null,
  maxClicks: number | null,
  maxClicksSeq: number,
];

export interface RedirectLookup {
  lookup(key: string): RedirectFacts | null;
  endSnapshot(): void;
  figures(): LookupFigures;
}

/** To look up what nobody has: a key has at least one character. */
export const NO_KEY = '';

/** Links that are remembered. */
const REMEMBERED_MAX = 100_000;
/** Of their targets, in characters: some 50 MB in all. */
const REMEMBERED_LENGTH_MAX = 20_000_000;
/** Changed keys that are forgotten one by one; after more of them all are. */
const CHANGES_MAX = 1000;

/** Told in place of a key. */
export const ALL_KEYS = '';

export function createRedirectLookup(
  connection: Database.Database,
  { linksMax = REMEMBERED_MAX, lengthMax = REMEMBERED_LENGTH_MAX } = {},
): RedirectLookup {
  const find = connection
    .prepare<[string], Row>(
      `select key, id, url, status, redirect_status, expires_at_ms, max_clicks, max_clicks_seq from links
       where domain = '${PRIMARY_DOMAIN}' and key = ? and released = 0`,
    )
    .raw();
  const readVersion = connection.prepare<[], number>('pragma data_version').pluck();
  const readChanges = connection
    .prepare<[number], [seq: number, key: string]>(
      `select seq, key from events where seq > ? order by seq limit ${CHANGES_MAX}`,
    )
    .raw();
  const readLastSeq = connection.prepare<[], number>('select coalesce(max(seq), 0) from events').pluck();
  const begin = connection.prepare('begin');
  // After a failed read a commit fails too, and would leave the snapshot open; a rollback ends it whatever happened.
  const end = connection.prepare('rollback');

  const remembered = new LRUCache<string, RedirectFacts>({
    max: linksMax,
    maxSize: lengthMax,
    // A damaged row may have none.
    sizeCalculation: ({ url }) => url.length + 1,
  });
  const figures = { remembered: 0, read: 0 };
  let version = readVersion.get();
  let seq = readLastSeq.get() as number;

  function endSnapshot(): void {
    if (connection.inTransaction) end.run();
  }

  function openSnapshot(): void {
    begin.run();
    setImmediate(endSnapshot);
    const versionNow = readVersion.get();
    if (versionNow === version) return;
    try {
      forgetChanged();
    } catch {
      // Whoever reads the link itself finds out whether that can be read.
      remembered.clear();
    }
    version = versionNow;
  }

  /**
   * Where numbers are missing there were changes that are not told of any more, such as those of a purged link; and no key at all is a
   * change of all of them.
   */
  function forgetChanged(): void {
    const changes = readChanges.all(seq);
    const last = changes.at(-1)?.[0] ?? seq;
    const isAllTold = last - seq === changes.length && changes.every(([, key]) => key !== ALL_KEYS);
    if (isAllTold && changes.length < CHANGES_MAX) {
      for (const [, key] of changes) remembered.delete(key);
      seq = last;
    } else {
      remembered.clear();
      seq = readLastSeq.get() as number;
    }
  }

  function read(key: string): RedirectFacts | null {
    const row = find.get(key);
    if (row === undefined) return null;
    figures.read++;
    const [ownKey, id, url, status, redirectStatus, expiresAtMs, maxClicks, maxClicksSeq] = row;
    const facts = { id, url, status, redirectStatus, expiresAtMs, maxClicks, maxClicksSeq };
    // Not the key that was asked for: as a part of a request's path it would keep all of that in memory.
    remembered.set(ownKey, facts);
    return facts;
  }

  return {
    endSnapshot,
    figures: () => ({ ...figures }),
    lookup(key) {
      try {
        if (!connection.inTransaction) openSnapshot();
        const known = remembered.get(key);
        if (known === undefined) return read(key);
        figures.remembered++;
        return known;
      } catch (error) {
        // The next one of this turn must not go on without having looked what changed.
        endSnapshot();
        throw translateSqliteError(error);
      }
    },
  };
}
