/**
 * A host's copy of shared links in SQLite (copy.db). Written in short transactions by whichever process of the host hears of
 * a change first; the other one finds it done. It can be made anew from the database, so a power cut may take the last of it.
 */

import type Database from 'better-sqlite3';
import type { CopyMark, KeyState, LinkCopy } from '../../fleet/link-copy.ts';
import type { Clock } from '../../kernel/clock.ts';
import { PRIMARY_DOMAIN } from '../../links/link.ts';
import { retryWhileBusy, translateSqliteError } from './dialect.ts';
import type { RedirectLookup } from './redirect-lookup.ts';

type Marks = Partial<Record<CopyMark, number>>;

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

export function createLinkCopy({ connection, lookup, clock, random }: LinkCopyDeps): LinkCopy {
  const upsert = connection.prepare(
    `insert into links (key, domain, released, as_of, id, url, status, redirect_status, expires_at_ms, max_clicks, max_clicks_seq)
     values (?, '${PRIMARY_DOMAIN}', ?, ?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (key) do update set released = excluded.released, as_of = excluded.as_of, id = excluded.id,
       url = excluded.url, status = excluded.status, redirect_status = excluded.redirect_status,
       expires_at_ms = excluded.expires_at_ms, max_clicks = excluded.max_clicks, max_clicks_seq = excluded.max_clicks_seq
     where excluded.as_of > links.as_of`,
  );
  const tell = connection.prepare('insert into events (key) values (?)');
  const forgetTold = connection.prepare('delete from events where seq <= (select max(seq) from events) - ?');
  /** A number left out tells them that they know nothing any more. */
  const tellAll = connection.prepare(
    "insert into events (seq, key) select coalesce(max(seq), 0) + 2, '' from events",
  );
  const readMark = connection.prepare<[string], number>('select value from sequences where name = ?').pluck();
  const raiseMark = connection.prepare(
    `insert into sequences (name, value) values (?, ?)
     on conflict (name) do update set value = excluded.value where excluded.value > sequences.value`,
  );
  const clear = connection.transaction(() => {
    connection.exec('delete from links; delete from sequences');
    tellAll.run();
  });
  const write = connection.transaction((states: readonly KeyState[], marks: Marks) => {
    let written = 0;
    let newest = 0;
    for (const { key, asOf, facts } of states) {
      const { changes } = upsert.run(
        key,
        facts === null ? 1 : 0,
        asOf,
        facts?.id,
        facts?.url,
        facts?.status,
        facts?.redirectStatus,
        facts?.expiresAtMs,
        facts?.maxClicks,
        facts?.maxClicksSeq,
      );
      if (changes === 0) continue;
      tell.run(key);
      newest = Math.max(newest, asOf);
      written++;
    }
    if (written > 0) {
      forgetTold.run(EVENTS_KEPT);
      raiseMark.run('newest', newest);
    }
    for (const [mark, value] of Object.entries(marks)) raiseMark.run(mark, value);
  });

  async function commit(work: () => void): Promise<void> {
    const workAndShow = (): void => {
      work();
      // What was written is seen at once, also by who has looked in this turn already.
      lookup.endSnapshot();
    };
    try {
      await retryWhileBusy(workAndShow, { clock, random });
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  return {
    lookup: lookup.lookup,
    readMark: async (mark) => readMark.get(mark) ?? null,
    write: (states, marks = {}) => commit(() => write.immediate(states, marks)),
    clear: () => commit(() => void clear.immediate()),
  };
}
