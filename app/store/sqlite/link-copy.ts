/**
 * A host's copy of shared links in SQLite (copy-….db). Written in short transactions by whichever process of the host hears of
 * a change first; the other one finds it done. It can be made anew from the database, so a power cut may take the last of it.
 */

import type Database from 'better-sqlite3';
import {
  type CopyMark,
  type CopyPlace,
  type CopyStep,
  type FeedEnd,
  FILLED,
  isSameHistory,
  type KeyState,
  type LinkCopy,
} from '../../fleet/link-copy.ts';
import type { Clock } from '../../kernel/clock.ts';
import { PRIMARY_DOMAIN } from '../../links/link.ts';
import { retryWhileBusy, translateSqliteError } from './dialect.ts';
import { ALL_KEYS, type RedirectLookup } from './redirect-lookup.ts';

export interface LinkCopyDeps {
  /** Writes. */
  readonly connection: Database.Database;
  readonly lookup: Pick<RedirectLookup, 'lookup' | 'endSnapshot'>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** What is told to those who remember links: more than they look at before they forget all. */
const EVENTS_KEPT = 10_000;

/** Keys looked at in one transaction: about 3 ms where all of them are forgotten. */
const LOOKED_AT = 500;

/**
 * The marks, in `sequences`: where the copy stands (fleet/link-copy.ts), and `confirmed`, the run before which nothing is known any
 * more.
 */
type Mark = CopyMark | 'database' | 'begun' | 'run' | 'newest' | 'confirmed';

export function createLinkCopy({ connection, lookup, clock, random }: LinkCopyDeps): LinkCopy {
  const upsert = connection.prepare(
    `insert into links (key, domain, released, run, as_of, id, url, status, redirect_status, expires_at_ms, max_clicks, max_clicks_seq)
     values (?, '${PRIMARY_DOMAIN}', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (key) do update set released = excluded.released, run = excluded.run, as_of = excluded.as_of, id = excluded.id,
       url = excluded.url, status = excluded.status, redirect_status = excluded.redirect_status,
       expires_at_ms = excluded.expires_at_ms, max_clicks = excluded.max_clicks, max_clicks_seq = excluded.max_clicks_seq
     where (excluded.run, excluded.as_of) > (links.run, links.as_of)`,
  );
  const remove = connection.prepare('delete from links where key = ?');
  const listKeys = connection
    .prepare<[after: string], [key: string, run: number]>(
      `select key, run from links where key > ? order by key limit ${LOOKED_AT}`,
    )
    .raw();
  const tell = connection.prepare('insert into events (key) values (?)');
  const forgetTold = connection.prepare('delete from events where seq <= (select max(seq) from events) - ?');
  const readMark = connection.prepare<[Mark], number>('select value from sequences where name = ?').pluck();
  const writeMark = connection.prepare<[Mark, number]>(
    'insert into sequences (name, value) values (?, ?) on conflict (name) do update set value = excluded.value',
  );
  const forgetMark = connection.prepare<[Mark]>('delete from sequences where name = ?');
  const mark = (name: Mark): number | null => readMark.get(name) ?? null;

  function findPlace(): CopyPlace | null {
    const run = mark('run');
    if (run === null) return null;
    const [database, begun, position, newest] = (['database', 'begun', 'position', 'newest'] as const).map(
      (name) => mark(name) as number,
    ) as [number, number, number, number];
    return { of: { database, begun }, run, position, newest: Math.max(position, newest) };
  }

  /** Whether it was news. */
  function take({ key, asOf, of, facts }: KeyState, place: CopyPlace | null): boolean {
    if (place === null || !isSameHistory(of, place.of)) return remove.run(key).changes > 0;
    const { changes } = upsert.run(
      key,
      facts === null ? 1 : 0,
      place.run,
      asOf,
      facts?.id,
      facts?.url,
      facts?.status,
      facts?.redirectStatus,
      facts?.expiresAtMs,
      facts?.maxClicks,
      facts?.maxClicksSeq,
    );
    return changes > 0;
  }

  function go(place: CopyPlace | null, { mark: name, of, from, to }: CopyStep): void {
    if (place !== null && isSameHistory(of, place.of) && mark(name) === from) writeMark.run(name, to);
  }

  const readPlace = connection.transaction(findPlace);
  const write = connection.transaction((states: readonly KeyState[], step: CopyStep | null) => {
    const place = findPlace();
    const news = states.filter((state) => take(state, place));
    for (const { key } of news) tell.run(key);
    if (news.length > 0) forgetTold.run(EVENTS_KEPT);
    if (place !== null && news.length > 0) {
      writeMark.run('newest', Math.max(place.newest, ...news.map(({ asOf }) => asOf)));
    }
    if (step !== null) go(place, step);
  });
  const begin = connection.transaction(({ of, last }: FeedEnd, instead: CopyPlace | null) => {
    const place = findPlace();
    // Another process of this host was first.
    if (place?.run !== instead?.run) return;
    let position = last;
    // Mostly nothing was lost: then what changed since is heard of at once, and not when its turn to be confirmed comes.
    if (place?.of.database === of.database) position = Math.min(place.position, last);
    else {
      connection.exec('delete from links');
      tell.run(ALL_KEYS);
    }
    const marks = { database: of.database, begun: of.begun, position, newest: last };
    for (const [name, value] of Object.entries(marks)) writeMark.run(name as Mark, value);
    writeMark.run('run', (place?.run ?? 0) + 1);
    forgetMark.run('filled_to');
  });
  const forgetUnconfirmed = connection.transaction((run: number, after: string): string | null => {
    if (mark('run') !== run || mark('filled_to') !== FILLED || mark('confirmed') === run) return null;
    const looked = listKeys.all(after);
    for (const [key, knownIn] of looked) {
      if (knownIn === run) continue;
      remove.run(key);
      tell.run(key);
    }
    forgetTold.run(EVENTS_KEPT);
    const [last] = looked.at(-1) ?? [null];
    if (last === null) writeMark.run('confirmed', run);
    return last;
  });

  async function commit<T>(work: () => T): Promise<T> {
    let result: T | undefined;
    const workAndShow = (): void => {
      result = work();
      // What was written is seen at once, also by who has looked in this turn already.
      lookup.endSnapshot();
    };
    try {
      await retryWhileBusy(workAndShow, { clock, random });
      return result as T;
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  return {
    lookup: lookup.lookup,
    readPlace: async () => readPlace.deferred(),
    readFilledTo: async () => mark('filled_to'),
    write: (states, step) => commit(() => write.immediate(states, step ?? null)),
    begin: (end, instead) => commit(() => begin.immediate(end, instead)),
    forgetUnconfirmed: (run, after) => commit(() => forgetUnconfirmed.immediate(run, after)),
  };
}
